#include "net/host_addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>
#include <tuple>

#include "base/file_descriptor.h"

namespace shoal {

namespace {

// Nothing for an address that only this machine or only this cable knows.
std::string HostOf(const sockaddr& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.sa_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address).sin_addr;
    const uint32_t host = ntohl(v4.s_addr);
    if (host >> 24 == 127 || host >> 16 == 0xa9fe) return {};
    ::inet_ntop(AF_INET, &v4, text, sizeof text);
  } else if (address.sa_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
    if (IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_LINKLOCAL(&v6)) return {};
    ::inet_ntop(AF_INET6, &v6, text, sizeof text);
  }
  return text;
}

bool IsBridge(const FileDescriptor& any_socket, const char* interface) {
  ethtool_drvinfo driver = {};
  driver.cmd = ETHTOOL_GDRVINFO;
  ifreq request = {};
  std::strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
  request.ifr_data = reinterpret_cast<char*>(&driver);
  return ::ioctl(any_socket.get(), SIOCETHTOOL, &request) == 0 &&
         std::string_view(driver.driver) == "bridge";
}

bool IsV6(const std::string& host) { return host.find(':') != std::string::npos; }

bool IsIp(const std::string& host) {
  in6_addr ignored = {};
  return ::inet_pton(IsV6(host) ? AF_INET6 : AF_INET, host.c_str(), &ignored) == 1;
}

}  // namespace

std::set<std::string> DefaultInterfaces(std::istream& v4, std::istream& v6) {
  std::set<std::string> found;
  std::string line;
  while (std::getline(v4, line)) {
    std::istringstream words(line);
    std::string interface, to, gateway, flags, references, uses, metric, mask;
    words >> interface >> to >> gateway >> flags >> references >> uses >> metric >> mask;
    if (to == "00000000" && mask == "00000000") found.insert(interface);
  }
  while (std::getline(v6, line)) {
    std::istringstream words(line);
    std::string to, bits, from, from_bits, gateway, metric, references, uses, flags, interface;
    words >> to >> bits >> from >> from_bits >> gateway >> metric >> references >> uses >> flags >>
        interface;
    if (to == std::string(32, '0') && bits == "00") found.insert(interface);
  }
  found.erase("lo");  // where the kernel keeps "unreachable"
  return found;
}

void SortBestFirst(std::vector<HostAddress>& addresses) {
  const auto rank = [](const HostAddress& one) {
    const bool last = !one.is_running || (one.is_bridge && !one.has_default_route);
    return std::tuple(last, IsV6(one.host), !one.has_default_route);
  };
  std::stable_sort(addresses.begin(), addresses.end(),
                   [&](const HostAddress& a, const HostAddress& b) { return rank(a) < rank(b); });
}

std::vector<HostAddress> HostAddresses() {
  std::vector<HostAddress> found;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return found;
  std::ifstream v4("/proc/net/route"), v6("/proc/net/ipv6_route");
  const std::set<std::string> defaults = DefaultInterfaces(v4, v6);
  const FileDescriptor any_socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  for (const ifaddrs* entry = all; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_UP) == 0) continue;
    HostAddress address = {HostOf(*entry->ifa_addr), entry->ifa_name};
    if (address.host.empty()) continue;
    address.is_running = (entry->ifa_flags & IFF_RUNNING) != 0;
    address.is_bridge = IsBridge(any_socket, entry->ifa_name);
    address.has_default_route = defaults.contains(address.interface);
    found.push_back(std::move(address));
  }
  ::freeifaddrs(all);
  SortBestFirst(found);
  return found;
}

bool IsElsewhere(const Address& address, const std::vector<HostAddress>& own) {
  if (address.is_unix() || address.is_relay() || address.is_local() || !IsIp(address.host)) {
    return false;
  }
  return std::none_of(own.begin(), own.end(),
                      [&](const HostAddress& one) { return one.host == address.host; });
}

}  // namespace shoal
