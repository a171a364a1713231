// Proves that sweeps do not depend on the number of threads, that strategies are compared on the
// same requests, and that the reports hold what was run.
#include "tools/simulator/sweep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "tests/tools/simulator/small_cluster.h"
#include "tools/simulator/html_report.h"
#include "tools/simulator/report_rows.h"
#include "tools/simulator/report_text.h"
#include "tools/simulator/simulation.h"
#include "tools/simulator/svg_plot.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

SimulationOptions BusyOptions() {
  SimulationOptions options = OneClient(TestProblem(12, {400, 200, 300}), 100, 20, 200);
  options.arrivals = {.kind = Arrivals::Kind::kPoisson, .rate_per_s = 0.3};
  options.prompt_tokens = {TokenDistribution::Kind::kLognormal, 100, 0.5};
  options.churn = {.mtbf_s = 200, .mttr_s = 20};
  options.jitter = {0.1, 0.2, false};
  options.timeline_spans = 50;
  return options;
}

SweepReport Swept(int threads) {
  SweepReport report;
  report.parameters = {{"cluster", "three, <small>"}, {"model", "test"}};
  const SimulationOptions options = BusyOptions();
  for (const char* text : {"devices=1..3", "link.bandwidth=1e6..1e8:log:2"}) {
    report.axes.push_back(ParseSweep(text, options.problem.cluster).value());
  }
  const auto first = MakeStrategy("speed-proportional").value();
  const auto second = MakeStrategy("even").value();
  report.runs = RunSweep(options, report.axes, {first.get(), second.get()}, threads, [] {}).value();
  return report;
}

TEST(Sweep, GivesTheSameBytesWithAnyNumberOfThreads) {
  const SweepReport one = Swept(1);
  const SweepReport four = Swept(4);
  ASSERT_EQ(one.runs.size(), 12U);
  EXPECT_EQ(SweepCsv(one), SweepCsv(four));
  EXPECT_EQ(SweepJson(one), SweepJson(four));
  EXPECT_EQ(SweepHtml(one), SweepHtml(four));
}

TEST(Sweep, TakesEveryCombinationInOrder) {
  const SweepReport report = Swept(1);
  EXPECT_THAT(report.runs[0].values, ElementsAre(1, 1e6));
  EXPECT_THAT(report.runs[2].values, ElementsAre(1, 1e8));
  EXPECT_THAT(report.runs[11].values, ElementsAre(3, 1e8));
  EXPECT_EQ(report.runs[0].strategy, "speed-proportional");
  EXPECT_EQ(report.runs[1].strategy, "even");
  for (const SweepRun& run : report.runs) ASSERT_TRUE(run.report.ok());
  EXPECT_EQ(report.runs[0].report->plan.stages.size(), 1U);
  EXPECT_EQ(report.runs[11].report->plan.stages.size(), 3U);
}

TEST(Sweep, ComparesStrategiesOnTheSameRequests) {
  const SweepReport report = Swept(1);
  for (size_t i = 0; i < report.runs.size(); i += 2) {
    EXPECT_EQ(report.runs[i].seed, report.runs[i + 1].seed);
    EXPECT_EQ(report.runs[i].report->arrived, report.runs[i + 1].report->arrived);
  }
  EXPECT_NE(report.runs[0].seed, report.runs[2].seed);
}

TEST(Sweep, ARowCanBeRunAgainByItsSeedAndValues) {
  const SweepReport swept = Swept(1);
  const SweepRun& run = swept.runs[8];
  SimulationOptions options = BusyOptions();
  options.timeline_spans = 0;
  for (size_t i = 0; i < swept.axes.size(); ++i) {
    ASSERT_TRUE(SetParameter(options, swept.axes[i].parameter, run.values[i]).ok());
  }
  options.seed = run.seed;
  SweepReport again{swept.parameters, swept.axes, {}};
  const auto strategy = MakeStrategy(run.strategy).value();
  again.runs.push_back({run.values, run.strategy, run.seed, Simulate(options, *strategy)});
  EXPECT_EQ(RunRow(swept, run), RunRow(again, again.runs[0]));
}

TEST(Sweep, AnotherSeedGivesAnotherRun) {
  SimulationOptions options = BusyOptions();
  const auto strategy = MakeSpeedProportional();
  const auto run = [&] {
    SweepReport report;
    report.runs = RunSweep(options, {}, {strategy.get()}, 1, [] {}).value();
    return SweepCsv(report);
  };
  const std::string once = run();
  EXPECT_EQ(once, run());
  options.seed = 2;
  EXPECT_NE(once, run());
}

TEST(Sweep, AnErrorStandsInItsRow) {
  SweepReport report;
  SimulationOptions options = BusyOptions();
  const auto strategy = MakeSpeedProportional();
  report.axes = {ParseSweep("arrivals.rate=0.1,0", options.problem.cluster).value()};
  report.runs = RunSweep(options, report.axes, {strategy.get()}, 2, [] {}).value();
  EXPECT_TRUE(report.runs[0].report.ok());
  ASSERT_FALSE(report.runs[1].report.ok());
  const auto good = RunRow(report, report.runs[0]);
  const auto bad = RunRow(report, report.runs[1]);
  EXPECT_TRUE(good["error"].is_null());
  EXPECT_THAT(bad["error"].get<std::string>(), HasSubstr("rate"));
  EXPECT_TRUE(bad["tokens_per_s"].is_null());
  std::vector<std::string> columns[2];
  for (const auto& [name, value] : good.items()) columns[0].push_back(name);
  for (const auto& [name, value] : bad.items()) columns[1].push_back(name);
  EXPECT_EQ(columns[0], columns[1]);
}

TEST(Sweep, RefusesTooManyRuns) {
  const SimulationOptions options = BusyOptions();
  const auto strategy = MakeSpeedProportional();
  const SweepAxis axis = ParseSweep("link.latency=0..1:lin:1000", options.problem.cluster).value();
  const auto runs = RunSweep(options, {axis, axis}, {strategy.get()}, 1, [] {});
  ASSERT_FALSE(runs.ok());
  EXPECT_THAT(runs.error().message, HasSubstr("100000"));
}

TEST(Reports, HoldEveryParameterAndEscapeThem) {
  const SweepReport report = Swept(2);
  const std::string csv = SweepCsv(report);
  EXPECT_THAT(csv, HasSubstr("\"three, <small>\",test,speed-proportional,"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 13);
  const std::string html = SweepHtml(report);
  EXPECT_THAT(html, HasSubstr("three, &lt;small&gt;"));
  EXPECT_THAT(html, HasSubstr("tokens per second against devices"));
  for (const char* outside : {"<script", "src=", "href=", "url(", "<link", "nan", "inf"}) {
    EXPECT_THAT(html, Not(HasSubstr(outside))) << outside;
  }
  EXPECT_THAT(SweepText(report), HasSubstr("link.bandwidth"));
}

TEST(Reports, TimelineSpansFollowEachOtherOnEveryDeviceAndLink) {
  const SweepReport report = Swept(1);
  const std::vector<Span>& spans = report.runs[0].report->spans;
  ASSERT_EQ(spans.size(), 50U);
  std::map<int32_t, double> free_s;
  for (const Span& span : spans) {
    EXPECT_GE(span.begin_s, free_s[span.resource]);
    EXPECT_GE(span.end_s, span.begin_s);
    free_s[span.resource] = span.end_s;
  }
  EXPECT_TRUE(report.runs[2].report->spans.empty());
}

TEST(LinePlot, PutsTicksAtRoundValues) {
  const std::string plot =
      LinePlot("t", {"devices"}, {"rate"}, {{"one <b>", {{1, 0}, {12, 70}}}, {"two", {}}});
  for (const char* tick : {">2<", ">4<", ">12<", ">0<", ">20<", ">60<", "one &lt;b&gt;"}) {
    EXPECT_THAT(plot, HasSubstr(tick));
  }
  EXPECT_THAT(LinePlot("t", {"x", true}, {"y"}, {{"all", {{1, 5}, {1000, 5}, {0, 7}}}}),
              HasSubstr(">100<"));
  EXPECT_THAT(LinePlot("t", {"x"}, {"y"}, {}), HasSubstr("no values"));
}

TEST(SecondsText, ChoosesTheUnit) {
  EXPECT_EQ(SecondsText(0), "0 s");
  EXPECT_EQ(SecondsText(12.34e-6), "12.3 us");
  EXPECT_EQ(SecondsText(0.5), "500 ms");
  EXPECT_EQ(SecondsText(0.0312), "31.2 ms");
  EXPECT_EQ(SecondsText(4.5), "4.50 s");
  EXPECT_EQ(SecondsText(1234.5), "1234 s");
}

TEST(Distribution, TakesNearestRanks) {
  const Distribution of = Distribution::Of({4, 1, 3, 2});
  EXPECT_EQ(of.count, 4);
  EXPECT_EQ(of.mean, 2.5);
  EXPECT_EQ(of.percentile[0], 1);
  EXPECT_EQ(of.percentile[25], 1);
  EXPECT_EQ(of.percentile[26], 2);
  EXPECT_EQ(of.percentile[50], 2);
  EXPECT_EQ(of.percentile[100], 4);
  EXPECT_EQ(Distribution::Of({}).percentile[50], 0);
}

}  // namespace
}  // namespace shoal
