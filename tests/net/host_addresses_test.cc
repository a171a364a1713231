// Proves which interfaces the kernel's tables of routes call the default, in which order the
// addresses of a machine are tried, and which addresses are another machine's.
#include "net/host_addresses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace shoal {
namespace {

using testing::ElementsAre;

TEST(HostAddressesTest, TheDefaultRoutesInterfacesAreFound) {
  std::istringstream v4(
      "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
      "eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
      "eth1\t0000A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
      "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n");  // 0.0.0.0/1
  const std::string zero(32, '0');
  const std::string gateway = "fe800000000000000000000000000001";
  std::istringstream v6(zero + " 00 " + zero + " 00 " + gateway +
                        " 00000400 00000001 00000000 00000003     wlan0\n" +
                        "fe800000000000000000000000000000 40 " + zero + " 00 " + zero +
                        " 00000100 00000001 00000000 00000001     eth1\n" + zero + " 00 " + zero +
                        " 00 " + zero + " ffffffff 00000001 00000000 00200200       lo\n");
  EXPECT_THAT(DefaultInterfaces(v4, v6), ElementsAre("eth0", "wlan0"));
}

TEST(HostAddressesTest, TheLanComesBeforeBridges) {
  std::vector<HostAddress> addresses = {
      {"172.17.0.1", "docker0", true, true, false}, {"172.18.0.1", "br-1", true, true, false},
      {"192.168.7.2", "eth1", true, false, false},  {"10.0.0.3", "usb0", false, false, true},
      {"2001:db8::1", "eth0", true, false, true},   {"192.168.0.2", "eth0", true, false, true},
      {"192.168.9.2", "br0", true, true, true}};
  SortBestFirst(addresses);
  std::vector<std::string> hosts;
  for (const HostAddress& one : addresses) hosts.push_back(one.host);
  EXPECT_THAT(hosts, ElementsAre("192.168.0.2", "192.168.9.2", "192.168.7.2", "2001:db8::1",
                                 "10.0.0.3", "172.17.0.1", "172.18.0.1"));
}

TEST(HostAddressesTest, AnotherMachinesAddressesAreTold) {
  const std::vector<HostAddress> own = {{"192.168.0.2", "eth0"}, {"2001:db8::1", "eth0"}};
  const auto is_elsewhere = [&](const char* text) {
    const Result<Address> address = ParseAddress(text);
    return IsElsewhere(*address, own);
  };
  for (const char* other : {"192.168.0.3:7700", "[2001:db8::2]:7700"}) {
    EXPECT_TRUE(is_elsewhere(other)) << other;
  }
  for (const char* here : {"192.168.0.2:7700", "[2001:db8::1]:7700", "127.0.0.1:7700", "[::1]:7700",
                           "unix:/a", "relay:b", "some-name:7700"}) {
    EXPECT_FALSE(is_elsewhere(here)) << here;
  }
}

TEST(HostAddressesTest, OwnAddressesAreOfTheNetwork) {
  for (const HostAddress& one : HostAddresses()) {
    EXPECT_FALSE((Address{"", one.host, 0}.is_local())) << one.host;
    EXPECT_NE(one.interface, "lo");
  }
}

}  // namespace
}  // namespace shoal
