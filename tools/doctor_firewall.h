// Firewalls of this device that keep others from dialling it, as far as this user may see them.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace shoal {

// What `nft -j list ruleset` prints: the chains for packets that come in which let in only what a
// rule names, each as "nftables (FAMILY TABLE CHAIN)". Such a chain has the policy drop, or ends
// with a rule that drops or rejects everything. Error: not such a list. Pure.
Result<std::vector<std::string>> ClosedNftChains(const std::string& ruleset_json);

// The same of what `iptables-save` prints; at most "iptables (INPUT)". Pure.
std::vector<std::string> ClosedIptablesChains(const std::string& saved);

struct Firewalls {
  std::vector<std::string> on;  // by name
  bool unread = false;          // there is a tool that lists the kernel's rules, but not to us
};

Firewalls FindFirewalls();

}  // namespace shoal
