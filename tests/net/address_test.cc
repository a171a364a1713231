// Proves that addresses read as they are written, that what is none is refused with its text, and
// which of them nobody on the network can reach: by examples.
#include "net/address.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

namespace shoal {
namespace {

using ::testing::HasSubstr;
using namespace std::string_view_literals;

Address Parsed(std::string_view text) {
  const Result<Address> address = ParseAddress(text);
  EXPECT_TRUE(address.ok()) << text;
  return address.ok() ? *address : Address();
}

TEST(Address, ReadsHostAndPort) {
  const Address name = Parsed("desk.local:7000");
  EXPECT_EQ(name.host, "desk.local");
  EXPECT_EQ(name.port, 7000);
  EXPECT_FALSE(name.is_unix());
  EXPECT_EQ(Parsed("0.0.0.0:0").port, 0);
  EXPECT_EQ(Parsed("h:65535").port, 65535);
  EXPECT_EQ(Parsed(fmt::format("{:a>253}:1", "")).host.size(), 253U);
}

TEST(Address, ReadsIpv6InBrackets) {
  const Address address = Parsed("[fe80::1%eth0]:443");
  EXPECT_EQ(address.host, "fe80::1%eth0");
  EXPECT_EQ(address.port, 443);
}

TEST(Address, ReadsUnixPaths) {
  const Address address = Parsed("unix:/run/shoal:1/node.sock");
  EXPECT_TRUE(address.is_unix());
  EXPECT_EQ(address.unix_path, "/run/shoal:1/node.sock");
  EXPECT_EQ(Parsed("unix:/" + std::string(106, 'a')).unix_path.size(), 107U);
}

TEST(Address, ReadsRelaysWithAndWithoutTheHubsPort) {
  const Address bare = Parsed("relay:abc");
  EXPECT_TRUE(bare.is_relay());
  EXPECT_EQ(bare.relay_node, "abc");
  EXPECT_EQ(bare.port, 0);
  const Address whole = Parsed("relay:abc:7701");
  EXPECT_EQ(whole.relay_node, "abc");
  EXPECT_EQ(whole.port, 7701);
}

TEST(Address, WritesWhatItReads) {
  for (const char* text :
       {"desk.local:7000", "192.168.1.2:80", "[::1]:443", "[fe80::1%eth0]:0", "unix:/run/node.sock",
        "localhost:65535", "relay:abc", "relay:abc:7701"}) {
    EXPECT_EQ(Parsed(text).ToString(), text);
  }
}

TEST(Address, RefusesWhatIsNoneAndNamesIt) {
  const std::pair<std::string_view, const char*> cases[] = {
      {"", "there is no port"},
      {"desk", "there is no port"},
      {"desk:", "port ''"},
      {":80", "no valid host"},
      {"desk:65536", "port '65536'"},
      {"desk:-1", "port '-1'"},
      {"desk:+1", "port '+1'"},
      {"desk: 80", "port ' 80'"},
      {"desk:80 ", "port '80 '"},
      {"desk:80x", "port '80x'"},
      {"desk:99999999999999999999", "is not in [0, 65535]"},
      {"::1:80", "needs brackets"},
      {"relay:", "name is none"},
      {"relay::80", "name is none"},
      {"relay:abc:", "hub's port"},
      {"relay:abc:65536", "hub's port"},
      {"relay:abc:7701:1", "hub's port"},
      {"[]:80", "brackets"},
      {"[unix]:80", "brackets"},
      {"[[::1]]:80", "no valid host"},
      {"[::1]", "needs brackets"},
      {"[::1:80", "needs brackets"},
      {"[desk:80", "no valid host"},
      {"my desk:80", "no valid host"},
      {"desk\n:80", "no valid host"},
      {"desk\0:80"sv, "no valid host"},
      {"unix:", "not absolute"},
      {"unix:node.sock", "not absolute"},
      {"unix:80", "not absolute"},
      {"unix:/run\0/node"sv, "zero byte"},
  };
  for (const auto& [text, why] : cases) {
    const Result<Address> address = ParseAddress(text);
    ASSERT_FALSE(address.ok()) << text;
    EXPECT_EQ(address.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(address.error().message, HasSubstr(fmt::format("'{}'", text)));
    EXPECT_THAT(address.error().message, HasSubstr(why));
    EXPECT_THAT(address.error().message, HasSubstr("expected HOST:PORT"));
  }
}

TEST(Address, RefusesWhatIsTooLongWithoutRepeatingAllOfIt) {
  const std::string path = "unix:/" + std::string(100'000, 'a');
  Result<Address> address = ParseAddress(path);
  ASSERT_FALSE(address.ok());
  EXPECT_THAT(address.error().message, HasSubstr("100001 bytes, the limit is 107"));
  EXPECT_LT(address.error().message.size(), 500U);
  address = ParseAddress(fmt::format("{:a>254}:1", ""));
  EXPECT_FALSE(address.ok());
  address = ParseAddress("a:" + std::string(100'000, '1'));
  ASSERT_FALSE(address.ok());
  EXPECT_LT(address.error().message.size(), 1000U);
}

TEST(Address, OnlyThisMachineIsLocal) {
  for (const char* text :
       {"unix:/run/node.sock", "localhost:1", "127.0.0.1:1", "127.1.2.3:1", "[::1]:1"}) {
    EXPECT_TRUE(Parsed(text).is_local()) << text;
  }
  for (const char* text :
       {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "127.0.0.1.example.org:1", "127.example.org:1",
        "localhost.example.org:1", "1127.0.0.1:1", "127:1", "[::1%eth0]:1", "[fe80::1]:1"}) {
    EXPECT_FALSE(Parsed(text).is_local()) << text;
  }
}

}  // namespace
}  // namespace shoal
