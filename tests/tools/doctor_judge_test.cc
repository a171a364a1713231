// Proves that a healthy device has no complaint, and that each fact gone wrong is named once, at
// its level, with what to do, and disturbs no other check.
#include "tools/doctor_judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace shoal {
namespace {

DoctorFacts Healthy() {
  DoctorFacts facts;
  facts.ports = {{7701, ""}, {8080, ""}};
  facts.server_clock_ahead_s = -60;
  facts.peers = {{"10.0.0.2:7701", "", 0.001, 1500}};
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

TEST(DoctorJudgeTest, EachThingGoneWrongIsNamed) {
  struct Case {
    std::string check;
    DoctorLevel level;
    std::string says;
    std::function<void(DoctorFacts&)> spoil;
  };
  const auto warning = DoctorLevel::kWarning, problem = DoctorLevel::kProblem;
  const Case cases[] = {
      {"port", warning, "8080", [](DoctorFacts& f) { f.ports[1].error = "in use"; }},
      {"multicast", warning, "none", [](DoctorFacts& f) { f.multicast_error = "none"; }},
      {"firewall", warning, "ufw", [](DoctorFacts& f) { f.firewalls = {"ufw"}; }},
      {"names", warning, "host", [](DoctorFacts& f) { f.host_name_error = "unknown"; }},
      {"peer", problem, "refused", [](DoctorFacts& f) { f.peers[0].error = "refused"; }},
      {"peer", warning, "30.00 ms", [](DoctorFacts& f) { f.peers[0].round_trip_s = 0.03; }},
      {"peer", warning, "1420", [](DoctorFacts& f) { f.peers[0].mtu = 1420; }},
      {"peer", problem, "1279", [](DoctorFacts& f) { f.peers[0].mtu = 1279; }},
      {"clock", warning, "61 s ahead", [](DoctorFacts& f) { f.server_clock_ahead_s = 61; }},
      {"clock", problem, "3601 s behind", [](DoctorFacts& f) { f.server_clock_ahead_s = -3601; }},
      {"clock", warning, "not known",
       [](DoctorFacts& f) {
         f.server_clock_ahead_s.reset();
         f.clock_synchronized = false;
       }},
      {"memory", problem, "511 MiB",
       [](DoctorFacts& f) { f.free_memory_bytes = int64_t{511} << 20; }},
      {"memory", problem, "256", [](DoctorFacts& f) { f.memory_limit_bytes = int64_t{256} << 20; }},
      {"disk", warning, "/state", [](DoctorFacts& f) { f.disks[0].free_bytes = 1 << 30; }},
      {"disk", problem, "read-only", [](DoctorFacts& f) { f.disks[0].error = "read-only"; }},
      {"cpu", warning, "avx2", [](DoctorFacts& f) { f.isa_is_slow = true; }},
  };
  for (const Case& wrong : cases) {
    DoctorFacts facts = Healthy();
    wrong.spoil(facts);
    int complaints = 0;
    for (const DoctorFinding& finding : Judge(facts)) {
      if (finding.level == DoctorLevel::kGood) continue;
      ++complaints;
      EXPECT_EQ(finding.check, wrong.check);
      EXPECT_EQ(finding.level, wrong.level) << wrong.check;
      EXPECT_THAT(finding.says, testing::HasSubstr(wrong.says));
      EXPECT_NE(finding.advice, "");
    }
    EXPECT_EQ(complaints, 1) << wrong.check << " " << wrong.says;
  }
}

}  // namespace
}  // namespace shoal
