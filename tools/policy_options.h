// What a device's owner allows a node: from node.toml, and from flags, which win.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "node/policy.h"

namespace shoal {

struct NodeAllowance {
  NodePolicy policy;
  double cpu_share = 1;          // of the performance cores
  int32_t nice = 0;              // 0 to 19: how far other programs come first
  int64_t memory_limit_mib = 0;  // 0: what is free
};

// The text of a node.toml; see docs/deploy.md. Errors name file, line and key.
Result<NodeAllowance> ParseNodeToml(std::string_view text, const std::string& file);

// Flags that were not given are negative or empty.
struct PolicyFlags {
  std::string file;  // of the policy; empty: node.toml of the state folder, if it is there
  double cpu_share = -1;
  int32_t nice = -1;
  int64_t memory_limit_mib = -1;
  int64_t least_free_memory_mib = -1;
  int32_t battery_least_percent = -1;
  double hottest_c = -1;
  std::vector<std::string> hours;
  bool pause_when_active = false;
};
void AddPolicyOptions(CLI::App& command, PolicyFlags& flags);
// An empty `state_folder` has no node.toml.
Result<NodeAllowance> ReadAllowance(const PolicyFlags& flags, const std::string& state_folder);

// Sets the process behind other programs, and `threads`, where it is 0, to the share of the
// performance cores. A share by time needs a control group: CPUQuota= of the systemd unit.
Status UseShareOfCpu(const NodeAllowance& allowance, int& threads);

}  // namespace shoal
