// The addresses of this machine that others may be able to dial, and in which order to try them.
#pragma once

#include <istream>
#include <set>
#include <string>
#include <vector>

#include "net/address.h"

namespace shoal {

struct HostAddress {
  std::string host;  // IPv4 or IPv6
  std::string interface;
  bool is_running = true;  // the interface has a carrier
  bool is_bridge = false;  // such as Docker makes for its containers
  bool has_default_route = false;
};

// The interfaces of the default routes: `v4` is /proc/net/route, `v6` /proc/net/ipv6_route. Pure.
std::set<std::string> DefaultInterfaces(std::istream& v4, std::istream& v6);

// What a device on the network most likely reaches comes first: interfaces before bridges (but for
// one that has the default route) and those without a carrier, IPv4, which most LANs speak, before
// IPv6, and the default route's interface before others. Pure; keeps the order otherwise.
void SortBestFirst(std::vector<HostAddress>& addresses);

// Those of the interfaces that are up, best first; without those that only this machine (loopback)
// or only one cable (link-local) knows.
std::vector<HostAddress> HostAddresses();

// Whether the address is certainly another machine's: an IP address that is not among `own`. Pure.
bool IsElsewhere(const Address& address, const std::vector<HostAddress>& own);

}  // namespace shoal
