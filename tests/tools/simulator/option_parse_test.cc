// Proves that options and event files are read as they are documented, and that what is wrong is
// refused with the option, or the file and line, and the value.
#include "tools/simulator/option_parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"
#include "tests/tools/simulator/small_cluster.h"
#include "tools/simulator/event_files.h"
#include "tools/simulator/request_source.h"
#include "tools/simulator/sweep.h"

namespace shoal {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Cluster TwoDevices() { return TestProblem(4, {100, 100}).cluster; }

void ExpectRefused(const auto& result, const std::vector<std::string>& named) {
  ASSERT_FALSE(result.ok()) << named.front();
  for (const std::string& part : named) EXPECT_THAT(result.error().message, HasSubstr(part));
}

TEST(ParseTokens, ReadsEveryKind) {
  EXPECT_EQ(ParseTokens("p", "512")->first, 512);
  EXPECT_EQ(ParseTokens("p", "fixed:7")->first, 7);
  const TokenDistribution uniform = ParseTokens("p", "uniform:3..9").value();
  EXPECT_EQ(uniform.kind, TokenDistribution::Kind::kUniform);
  EXPECT_EQ(uniform.first, 3);
  EXPECT_EQ(uniform.second, 9);
  const TokenDistribution lognormal = ParseTokens("p", "lognormal:200,0.8").value();
  EXPECT_EQ(lognormal.kind, TokenDistribution::Kind::kLognormal);
  EXPECT_EQ(lognormal.second, 0.8);
}

TEST(ParseTokens, NamesWhatIsWrong) {
  for (const char* text :
       {"", "x", "1.5", "12x", "fixed:", "uniform:3", "uniform:..", "uniform:a..9", "lognormal:200",
        "lognormal:nan,1", "lognormal:inf,1", "normal:1,2", "99999999999999999999", "-"}) {
    ExpectRefused(ParseTokens("prompt-tokens", text), {"prompt-tokens", "expected"});
  }
}

TEST(ParseArrivals, ReadsEveryKind) {
  EXPECT_EQ(ParseArrivals("poisson:0.5")->rate_per_s, 0.5);
  EXPECT_EQ(ParseArrivals("closed:8")->clients, 8);
  const TempDir folder;
  const std::string path = folder.path() + "/trace.csv";
  std::ofstream(path) << "arrival_s,prompt_tokens,output_tokens\r\n# night\n0,10,20\n\n1.5,3,4\n";
  const Arrivals arrivals = ParseArrivals(path).value();
  ASSERT_EQ(arrivals.trace.size(), 2U);
  EXPECT_EQ(arrivals.trace[1].arrival_s, 1.5);
  EXPECT_EQ(arrivals.trace[1].output_tokens, 4);
}

TEST(ParseArrivals, NamesWhatIsWrong) {
  ExpectRefused(ParseArrivals("poisson:"), {"arrivals", "''"});
  ExpectRefused(ParseArrivals("poisson:nan"), {"arrivals", "nan"});
  ExpectRefused(ParseArrivals("closed:1.5"), {"arrivals", "1.5"});
  ExpectRefused(ParseArrivals("/no/such/file"), {"poisson:RATE", "/no/such/file"});
  ExpectRefused(ParseArrivals("/"), {"/"});
}

TEST(ParseTrace, NamesTheLineAndTheValue) {
  const std::string names = "arrival_s,prompt_tokens,output_tokens\n";
  ExpectRefused(ParseTrace("", "t.csv"), {"t.csv", "empty"});
  ExpectRefused(ParseTrace("time,prompt,output\n", "t.csv"), {"t.csv:1", "time,prompt,output"});
  ExpectRefused(ParseTrace(names, "t.csv"), {"t.csv", "no requests"});
  ExpectRefused(ParseTrace(names + "1,2\n", "t.csv"), {"t.csv:2", "2 fields", "3"});
  ExpectRefused(ParseTrace(names + "1,2,3\nx,2,3\n", "t.csv"), {"t.csv:3", "arrival_s", "'x'"});
  ExpectRefused(ParseTrace(names + "5,2,3\n4,2,3\n", "t.csv"), {"t.csv:3", "4", "5"});
  ExpectRefused(ParseTrace(names + "-1,2,3\n", "t.csv"), {"t.csv:2", "-1"});
  ExpectRefused(ParseTrace(names + "nan,2,3\n", "t.csv"), {"t.csv:2", "nan"});
  ExpectRefused(ParseTrace(names + "1,0,3\n", "t.csv"), {"t.csv:2", "prompt_tokens", "0"});
  ExpectRefused(ParseTrace(names + "1,1,-3\n", "t.csv"), {"t.csv:2", "output_tokens", "-3"});
}

TEST(ParseChurn, ReadsMeansAndEvents) {
  const Churn churn = ParseChurn("exponential:3600,60", TwoDevices()).value();
  EXPECT_EQ(churn.mtbf_s, 3600);
  EXPECT_EQ(churn.mttr_s, 60);
  const auto events =
      ParseChurnEvents("time_s,device,event\n1,device-1,down\n2,device-1,up\n", "c", TwoDevices());
  ASSERT_EQ(events->size(), 2U);
  EXPECT_EQ((*events)[0].device, 1);
  EXPECT_FALSE((*events)[0].up);
  EXPECT_TRUE((*events)[1].up);
}

TEST(ParseChurn, NamesWhatIsWrong) {
  ExpectRefused(ParseChurn("exponential:3600", TwoDevices()), {"churn", "3600"});
  ExpectRefused(ParseChurn("exponential:0,1", TwoDevices()), {"churn", "0,1"});
  const std::string names = "time_s,device,event\n";
  ExpectRefused(ParseChurnEvents(names + "1,pi,down\n", "c", TwoDevices()), {"c:2", "'pi'"});
  ExpectRefused(ParseChurnEvents(names + "1,device-0,off\n", "c", TwoDevices()), {"c:2", "'off'"});
}

TEST(ParseJitter, ReadsBothKindsAndNamesWhatIsWrong) {
  const Jitter jitter = ParseJitter("compute:0.1,latency:measured").value();
  EXPECT_EQ(jitter.compute_sigma, 0.1);
  EXPECT_TRUE(jitter.latency_measured);
  EXPECT_EQ(ParseJitter("latency:0.3")->latency_sigma, 0.3);
  ExpectRefused(ParseJitter("0.1"), {"jitter", "0.1"});
  ExpectRefused(ParseJitter("compute:x"), {"jitter", "'x'"});
}

TEST(ParseStraggler, ReadsTimesAndNamesWhatIsWrong) {
  const Straggler straggler = ParseStraggler("device-1:3@60..120", TwoDevices()).value();
  EXPECT_EQ(straggler.device, 1);
  EXPECT_EQ(straggler.factor, 3);
  EXPECT_EQ(straggler.from_s, 60);
  EXPECT_EQ(straggler.to_s, 120);
  EXPECT_EQ(ParseStraggler("device-0:2", TwoDevices())->from_s, 0);
  ExpectRefused(ParseStraggler("device-9:2", TwoDevices()), {"straggler", "device-9"});
  ExpectRefused(ParseStraggler("device-1", TwoDevices()), {"straggler", "device-1"});
  ExpectRefused(ParseStraggler("device-1:2@5", TwoDevices()), {"straggler", "'5'"});
}

TEST(ParseSweep, SpreadsValues) {
  const auto values = [](const char* text) { return ParseSweep(text, TwoDevices())->values; };
  EXPECT_THAT(values("devices=1..2"), ElementsAre(1, 2));
  EXPECT_THAT(values("sessions=1,4,16"), ElementsAre(1, 4, 16));
  EXPECT_THAT(values("link.latency=0..1:lin:3"), ElementsAre(0, 0.5, 1));
  EXPECT_THAT(values("link.bandwidth=1e6..1e8:log:3"), ElementsAre(1e6, DoubleEq(1e7), 1e8));
  EXPECT_THAT(values("speed.device-1=2"), ElementsAre(2));
}

TEST(ParseSweep, NamesWhatIsWrong) {
  ExpectRefused(ParseSweep("devices", TwoDevices()), {"sweep", "devices"});
  ExpectRefused(ParseSweep("link.speed=1", TwoDevices()), {"link.speed", "link.bandwidth"});
  ExpectRefused(ParseSweep("devices=4..1", TwoDevices()), {"4", "1", "reversed"});
  ExpectRefused(ParseSweep("devices=1..1e9", TwoDevices()), {"devices", "at most"});
  ExpectRefused(ParseSweep("link.latency=0..1:log:3", TwoDevices()), {"logarithmic", "0"});
  ExpectRefused(ParseSweep("link.latency=0..1:lin:0", TwoDevices()), {"0 values"});
  ExpectRefused(ParseSweep("link.latency=0..1:cube:3", TwoDevices()), {"cube"});
  ExpectRefused(ParseSweep("speed.pi=1", TwoDevices()), {"'pi'"});
  ExpectRefused(ParseSweep("devices=3", TwoDevices()), {"devices", "3", "2"});
  ExpectRefused(ParseSweep("sessions=1.5", TwoDevices()), {"sessions", "1.5"});
}

// The generators: means and bounds of what they draw.
TEST(DrawTokens, HasTheDistributionsMeanAndBounds) {
  for (const TokenDistribution& tokens :
       {TokenDistribution{TokenDistribution::Kind::kFixed, 5, 0},
        TokenDistribution{TokenDistribution::Kind::kUniform, 3, 9},
        TokenDistribution{TokenDistribution::Kind::kLognormal, 200, 0.5}}) {
    Random random(7);
    double sum = 0;
    int32_t least = INT32_MAX;
    int32_t most = 0;
    constexpr int kDraws = 100'000;
    for (int i = 0; i < kDraws; ++i) {
      const int32_t drawn = DrawTokens(tokens, random);
      sum += drawn;
      least = std::min(least, drawn);
      most = std::max(most, drawn);
    }
    EXPECT_NEAR(sum / kDraws / tokens.Mean(), 1, 0.01);
    if (tokens.kind == TokenDistribution::Kind::kUniform) {
      EXPECT_EQ(least, 3);
      EXPECT_EQ(most, 9);
    }
  }
}

}  // namespace
}  // namespace shoal
