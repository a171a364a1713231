// Proves the simulator: without disturbances it gives what the cost model predicts and what
// queueing theory says, and every request ends exactly once whatever happens.
#include "tools/simulator/simulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/tools/simulator/small_cluster.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr double kRounding = 1e-9;  // relative: sums of a few thousand doubles

SimulationReport Simulated(const SimulationOptions& options) {
  const Result<SimulationReport> report = Simulate(options, *MakeSpeedProportional());
  EXPECT_TRUE(report.ok()) << report.error().message;
  return report.ok() ? *report : SimulationReport{};
}

// A session's decode steps read prompt + 0 .. output - 2 positions: one less, on average, than the
// middle of the answer, which predictions take.
double PredictedTpot(PlanProblem problem, const Plan& plan) {
  problem.workload.prompt_tokens -= 1;
  std::vector<Placement> placements;
  for (const PlannedStage& stage : plan.stages) placements.push_back({stage.device, stage.layers});
  return EvaluatePlan(problem, placements, "").value().prediction.decode_s;
}

class OneSession : public ::testing::TestWithParam<std::vector<double>> {};

TEST_P(OneSession, TakesWhatIsPredicted) {
  PlanProblem problem = TestProblem(12, GetParam());
  for (LayerShape& layer : problem.model.layers) layer.attention_window = 0;  // linear in positions
  const SimulationOptions options = OneClient(problem, 100, 40, 3);
  const SimulationReport report = Simulated(options);
  ASSERT_EQ(report.done, 3);
  EXPECT_EQ(report.all_output_tokens, 120);
  ASSERT_EQ(report.plan.stages.size(), GetParam().size());
  const double ttft_s = report.plan.prediction.first_token_s;
  EXPECT_NEAR(report.ttft_s.percentile[0], ttft_s, ttft_s * kRounding);
  const double tpot_s = PredictedTpot(options.problem, report.plan);
  EXPECT_NEAR(report.tpot_s.percentile[0], tpot_s, tpot_s * kRounding);
  EXPECT_NEAR(report.tpot_s.percentile[100], tpot_s, tpot_s * kRounding);
}

INSTANTIATE_TEST_SUITE_P(Clusters, OneSession,
                         ::testing::Values(std::vector<double>{500}, std::vector<double>{500, 100},
                                           std::vector<double>{100, 900, 300, 50}));

}  // namespace
}  // namespace shoal
