// Proves which rules of nftables and iptables are seen to keep packets out: policies, and last
// rules that ask nothing. The lists are in the form that nft 1.0 and iptables-save 1.8 print.
#include "tools/doctor_firewall.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace shoal {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string Chain(const std::string& policy, const std::string& hook = "input") {
  return R"({"chain": {"family": "inet", "table": "f", "name": "in", "handle": 1,
             "type": "filter", "hook": ")" +
         hook + R"(", "prio": 0, "policy": ")" + policy + R"("}})";
}

std::string Rule(const std::string& steps) {
  return R"({"rule": {"family": "inet", "table": "f", "chain": "in", "handle": 2, "expr": [)" +
         steps + "]}}";
}

std::vector<std::string> ClosedChainsOf(const std::vector<std::string>& entries) {
  std::string list = R"({"nftables": [{"metainfo": {"version": "1.0.6"}},
                         {"table": {"family": "inet", "name": "f", "handle": 1}})";
  for (const std::string& entry : entries) list += "," + entry;
  const Result<std::vector<std::string>> closed = ClosedNftChains(list + "]}");
  EXPECT_TRUE(closed.ok());
  return closed.ok() ? *closed : std::vector<std::string>{"error"};
}

const char* const kSsh =
    R"({"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}},
        "right": 22}},)";

TEST(DoctorFirewallTest, ClosedNftChains) {
  const std::string ssh(kSsh);
  const auto closed = ElementsAre("nftables (inet f in)");
  EXPECT_THAT(ClosedChainsOf({}), IsEmpty());
  EXPECT_THAT(ClosedChainsOf({Chain("drop")}), closed);
  EXPECT_THAT(ClosedChainsOf({Chain("drop"), Rule(ssh + R"({"accept": null})")}), closed);
  EXPECT_THAT(ClosedChainsOf({Chain("accept")}), IsEmpty());
  EXPECT_THAT(ClosedChainsOf({Chain("drop", "output")}), IsEmpty());
  EXPECT_THAT(ClosedChainsOf({Chain("accept"), Rule(R"({"drop": null})")}), closed);
  EXPECT_THAT(ClosedChainsOf({Chain("accept"), Rule(R"({"counter": {"packets": 0, "bytes": 0}},
                                      {"reject": {"type": "icmpx", "expr": "admin-prohibited"}})")}),
              closed);
  EXPECT_THAT(ClosedChainsOf({Chain("accept"), Rule(ssh + R"({"drop": null})")}), IsEmpty());
  // Of a chain that is no hook's.
  EXPECT_THAT(ClosedChainsOf({Rule(R"({"drop": null})")}), IsEmpty());
}

TEST(DoctorFirewallTest, WhatIsNoListOfRulesIsAnError) {
  for (const char* text : {"", "{}", "[]", R"({"nftables": [{"rule": {}}]})",
                           R"({"nftables": [{"chain": {"hook": "input"}}]})"}) {
    EXPECT_FALSE(ClosedNftChains(text).ok()) << text;
  }
}

TEST(DoctorFirewallTest, ClosedIptables) {
  const auto closed = ElementsAre("iptables (INPUT)");
  EXPECT_THAT(ClosedIptablesChains(""), IsEmpty());
  EXPECT_THAT(ClosedIptablesChains("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"), IsEmpty());
  EXPECT_THAT(ClosedIptablesChains("*filter\n:INPUT DROP [0:0]\nCOMMIT\n"), closed);
  EXPECT_THAT(ClosedIptablesChains("*nat\n:INPUT DROP [0:0]\nCOMMIT\n"), IsEmpty());
  const std::string open = "*filter\n:INPUT ACCEPT [0:0]\n";
  EXPECT_THAT(ClosedIptablesChains(open + "-A INPUT -p tcp --dport 23 -j DROP\n"), IsEmpty());
  EXPECT_THAT(ClosedIptablesChains(open + "-A INPUT -j REJECT --reject-with icmp-port-unreachable"),
              closed);
}

}  // namespace
}  // namespace shoal
