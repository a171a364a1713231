// A cluster as it is now: running nodes, measured with their links. For commands; shows progress.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "partitioner/cluster.h"

namespace shoal {

struct LiveOptions {
  std::vector<std::string> nodes;  // [NAME=]NODE
  std::string state;               // as --state says
  std::string model;               // whose types and layer to measure; empty: common ones
  bool refresh = false;            // measure anew, whatever nodes remember
};

// Help text of the option that takes them.
constexpr const char* kLiveNodesHelp =
    "[NAME=]NODE, a member's name or address or unix:/PATH, once per node";

// Errors: an address that is none, a model that is none, those of MeasureCluster.
Result<Cluster> MeasureLive(const LiveOptions& options);

}  // namespace shoal
