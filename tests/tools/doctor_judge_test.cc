// Proves that a healthy device has no complaint, and that each fact gone wrong is named once, at
// its level, with what to do, and disturbs no other check.
#include "tools/doctor_judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <span>

#include "net/identity/x509.h"

namespace shoal {
namespace {

constexpr int64_t kNow = 1'800'000'000;
constexpr int64_t kDay = kSecondsPerDay;
const PeerIdentity kNode = {"meshmeshmeshmesh", Role::kNode, "nodenodenodenode"};
const PeerIdentity kCoordinator = {"meshmeshmeshmesh", Role::kCoordinator, "ccccccccccccccc1"};
using Peer = DoctorFacts::Peer;

Peer Member(const std::string& address, const PeerIdentity& who) {
  Peer peer;
  peer.address = address;
  peer.kind = Peer::Kind::kMember;
  peer.member = who;
  peer.not_before_unix_s = kNow - kDay;
  peer.not_after_unix_s = kNow + 100 * kDay;
  peer.round_trip_s = 0.001;
  peer.mtu = 1500;
  return peer;
}

DoctorFacts Healthy() {
  DoctorFacts facts;
  facts.now_unix_s = kNow;
  facts.addresses = {"10.0.0.1"};
  facts.identities = {{kNode, "", kNow - kDay, kNow + 100 * kDay, false}};
  facts.coordinator = kCoordinator;
  facts.coordinators = {Member("10.0.0.9:7700", kCoordinator)};
  facts.ports = {{7700, ""}, {7701, ""}, {8080, ""}};
  facts.peers = {Member("10.0.0.2:7701", kNode)};
  Peer& server = facts.peers.emplace_back();
  server.address = "10.0.0.9:8080";
  server.kind = Peer::Kind::kApi;
  server.clock_ahead_s = -60;
  facts.free_memory_bytes = int64_t{4} << 30;
  facts.total_memory_bytes = int64_t{8} << 30;
  facts.disks = {{"/state", "", int64_t{100} << 30}};
  facts.host_name = "host";
  facts.isa = "avx2";
  facts.cpus = 4;
  return facts;
}

TEST(DoctorJudgeTest, AHealthyDeviceHasNoComplaint) {
  for (const DoctorFinding& finding : Judge(Healthy())) {
    EXPECT_EQ(finding.level, DoctorLevel::kGood) << finding.says;
    EXPECT_EQ(finding.advice, "");
  }
}

struct Case {
  std::string check;
  DoctorLevel level;
  std::string says;
  std::string advice;  // some of it
  std::function<void(DoctorFacts&)> spoil;
};
const auto kWarning = DoctorLevel::kWarning, kProblem = DoctorLevel::kProblem;

void ExpectOneComplaintEach(std::span<const Case> cases) {
  for (const Case& wrong : cases) {
    DoctorFacts facts = Healthy();
    wrong.spoil(facts);
    int complaints = 0;
    for (const DoctorFinding& finding : Judge(facts)) {
      if (finding.level == DoctorLevel::kGood) continue;
      ++complaints;
      EXPECT_EQ(finding.check, wrong.check);
      EXPECT_EQ(finding.level, wrong.level) << wrong.check << " " << wrong.says;
      EXPECT_THAT(finding.says, testing::HasSubstr(wrong.says));
      EXPECT_NE(finding.advice, "");
      EXPECT_THAT(finding.advice, testing::HasSubstr(wrong.advice));
    }
    EXPECT_EQ(complaints, 1) << wrong.check << " " << wrong.says;
  }
}

TEST(DoctorJudgeTest, EachThingWrongWithTheDeviceIsNamed) {
  const Case cases[] = {
      {"network", kProblem, "no address", "cable", [](DoctorFacts& f) { f.addresses.clear(); }},
      {"port", kWarning, "7700", "", [](DoctorFacts& f) { f.ports[0].error = "in use"; }},
      {"multicast", kWarning, "none", "", [](DoctorFacts& f) { f.multicast_error = "none"; }},
      {"firewall", kWarning, "ufw", "TCP 7700", [](DoctorFacts& f) { f.firewalls = {"ufw"}; }},
      {"firewall", kWarning, "a, b", "7701",
       [](DoctorFacts& f) {
         f.firewalls = {"a", "b"};
       }},
      {"firewall", kWarning, "ufw", "--hub-listen", [](DoctorFacts& f) { f.firewalls = {"ufw"}; }},
      {"firewall", kWarning, "ufw", "UDP 7700", [](DoctorFacts& f) { f.firewalls = {"ufw"}; }},
      {"names", kWarning, "host", "", [](DoctorFacts& f) { f.host_name_error = "unknown"; }},
      {"clock", kWarning, "61 s ahead", "", [](DoctorFacts& f) { f.peers[1].clock_ahead_s = 61; }},
      {"clock", kWarning, "86400 s behind", "",
       [](DoctorFacts& f) { f.peers[1].clock_ahead_s = -kClockSkewS; }},
      {"clock", kProblem, "86401 s behind", "",
       [](DoctorFacts& f) { f.peers[1].clock_ahead_s = -kClockSkewS - 1; }},
      {"clock", kWarning, "not known", "",
       [](DoctorFacts& f) {
         f.peers[1].clock_ahead_s.reset();
         f.clock_synchronized = false;
       }},
      {"memory", kProblem, "511 MiB", "",
       [](DoctorFacts& f) { f.free_memory_bytes = int64_t{511} << 20; }},
      {"memory", kProblem, "256", "",
       [](DoctorFacts& f) { f.memory_limit_bytes = int64_t{256} << 20; }},
      {"disk", kWarning, "/state", "", [](DoctorFacts& f) { f.disks[0].free_bytes = 1 << 30; }},
      {"disk", kProblem, "63 MiB", "space",
       [](DoctorFacts& f) { f.disks[0].free_bytes = 63 << 20; }},
      {"disk", kProblem, "read-only", "", [](DoctorFacts& f) { f.disks[0].error = "read-only"; }},
      {"cpu", kWarning, "avx2", "", [](DoctorFacts& f) { f.isa_is_slow = true; }},
  };
  ExpectOneComplaintEach(cases);
}

TEST(DoctorJudgeTest, EachThingWrongWithAPeerIsNamed) {
  const Case cases[] = {
      {"peer", kProblem, "refused", "firewall",
       [](DoctorFacts& f) { f.peers[0].error = "refused"; }},
      {"peer", kProblem, "no such name", "DNS",
       [](DoctorFacts& f) {
         f.peers[0].error = "no such name";
         f.peers[0].is_unknown = true;
       }},
      {"peer", kProblem, "does not answer as Shoal", "port",
       [](DoctorFacts& f) { f.peers[0].kind = Peer::Kind::kSilent; }},
      {"peer", kWarning, "HTTP server", "port",
       [](DoctorFacts& f) { f.peers[0].kind = Peer::Kind::kWeb; }},
      {"peer", kProblem, "another mesh (other)", "join",
       [](DoctorFacts& f) { f.peers[0].member.mesh = "other"; }},
      {"peer", kProblem, "not valid before", "clock",
       [](DoctorFacts& f) { f.peers[0].not_before_unix_s = kNow + 1; }},
      {"peer", kProblem, "ran out", "clock",
       [](DoctorFacts& f) { f.peers[0].not_after_unix_s = kNow - 1; }},
      {"peer", kProblem, "large packets are lost", "MTU",
       [](DoctorFacts& f) { f.peers[0].loses_large = true; }},
      {"peer", kWarning, "30.00 ms", "", [](DoctorFacts& f) { f.peers[0].round_trip_s = 0.03; }},
      {"peer", kWarning, "1420", "", [](DoctorFacts& f) { f.peers[0].mtu = 1420; }},
      {"peer", kProblem, "1279", "", [](DoctorFacts& f) { f.peers[0].mtu = 1279; }},
      // A way that is small as well as long will stall, whatever it costs.
      {"peer", kProblem, "1279", "stall",
       [](DoctorFacts& f) {
         f.peers[0].mtu = 1279;
         f.peers[0].round_trip_s = 0.03;
       }},
  };
  ExpectOneComplaintEach(cases);
}

TEST(DoctorJudgeTest, EachThingWrongWithTheMembershipIsNamed) {
  const Case cases[] = {
      {"identity", kProblem, "node: damaged", "--join CODE",
       [](DoctorFacts& f) { f.identities[0].error = "damaged"; }},
      {"identity", kProblem, "coordinator: damaged", "all nodes join",
       [](DoctorFacts& f) {
         DoctorFacts::Identity& own = f.identities.emplace_back();
         own.self.role = Role::kCoordinator;
         own.error = "damaged";
       }},
      {"identity", kProblem, "revoked", "--join CODE",
       [](DoctorFacts& f) { f.identities[0].is_revoked = true; }},
      {"identity", kProblem, "not valid before 2027-01-15 08:00 UTC", "clock",
       [](DoctorFacts& f) {
         f.now_unix_s = f.identities[0].not_before_unix_s = kNow;
         f.now_unix_s -= 1;
       }},
      {"identity", kWarning, "29 more days", "renew",
       [](DoctorFacts& f) { f.identities[0].not_after_unix_s = kNow + 30 * kDay - 1; }},
      {"coordinator", kProblem, "coordinator.json", "--join CODE",
       [](DoctorFacts& f) {
         f.contact_error = "coordinator.json: damaged";
         f.coordinators.clear();
       }},
      {"coordinator", kProblem, "10.0.0.9:7700: refused; 10.0.0.8:7700: no route", "Shoal runs",
       [](DoctorFacts& f) {
         f.coordinators.push_back(f.coordinators[0]);
         f.coordinators[1].address = "10.0.0.8:7700";
         f.coordinators[0].error = "refused";
         f.coordinators[1].error = "no route";
       }},
      {"coordinator", kProblem, "a node, not this node's coordinator", "shoal serve",
       [](DoctorFacts& f) { f.coordinators[0].member = kNode; }},
      {"coordinator", kProblem, "another mesh", "join",
       [](DoctorFacts& f) { f.coordinators[0].member.mesh = "other"; }},
  };
  ExpectOneComplaintEach(cases);
}

TEST(DoctorJudgeTest, OneWayToTheCoordinatorIsEnough) {
  DoctorFacts facts = Healthy();
  facts.coordinators.insert(facts.coordinators.begin(), Peer{});
  facts.coordinators[0].error = "no route";
  for (const DoctorFinding& finding : Judge(facts)) {
    EXPECT_EQ(finding.level, DoctorLevel::kGood) << finding.says;
  }
}

TEST(DoctorJudgeTest, WhatCouldNotBeReadOfTheFirewallIsSaid) {
  DoctorFacts facts = Healthy();
  facts.firewall_unread = true;
  const auto findings = Judge(facts);
  const auto found = std::find_if(findings.begin(), findings.end(),
                                  [](const DoctorFinding& one) { return one.check == "firewall"; });
  ASSERT_NE(found, findings.end());
  EXPECT_EQ(found->level, DoctorLevel::kGood);
  EXPECT_THAT(found->says, testing::HasSubstr("root"));
}

}  // namespace
}  // namespace shoal
