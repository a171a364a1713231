#include "partitioner/replan.h"

#include <fmt/format.h>

#include <algorithm>

#include "partitioner/cost_model.h"

namespace shoal {

namespace {

bool Holds(const RunningPlan& running, int32_t device, int32_t layer) {
  const auto within = [layer](const StageRange& range) {
    return layer >= range.begin && layer < range.end;
  };
  const auto index = static_cast<size_t>(device);
  if (index < running.held.size() &&
      std::any_of(running.held[index].begin(), running.held[index].end(), within)) {
    return true;
  }
  return std::any_of(running.placements.begin(), running.placements.end(),
                     [&](const Placement& placement) {
                       return placement.device == device && within(placement.layers);
                     });
}

// The embedding comes with the first layer, the head with the last one.
int64_t MissingBytes(const PlanProblem& problem, const RunningPlan& running,
                     const PlannedStage& stage) {
  int64_t bytes = 0;
  for (int32_t layer = stage.layers.begin; layer < stage.layers.end; ++layer) {
    if (Holds(running, stage.device, layer)) continue;
    bytes += MemoryOf(problem, {layer, layer + 1}).weight_bytes;
  }
  return bytes;
}

void ChargeMove(const PlanProblem& problem, const RunningPlan& running, const Plan& candidate,
                ReplanDecision& decision) {
  for (const PlannedStage& stage : candidate.stages) {
    const int64_t bytes = MissingBytes(problem, running, stage);
    if (bytes == 0) continue;
    const LinkProfile& link = problem.cluster.link(problem.cluster.coordinator(), stage.device);
    decision.transfer_bytes += bytes;
    if (!link.usable) continue;  // it comes by way of another device, at no known speed
    decision.transfer_s = std::max(decision.transfer_s,
                                   link.latency_s + static_cast<double>(bytes) / link.bytes_per_s);
  }
  decision.rebuild_s = candidate.prediction.first_token_s *
                       static_cast<double>(running.live_tokens) / problem.workload.prompt_tokens;
}

}  // namespace

ReplanDecision DecideReplan(const PlanProblem& problem, const RunningPlan& running,
                            const Plan& candidate, const ReplanPolicy& policy) {
  ReplanDecision decision;
  ChargeMove(problem, running, candidate, decision);
  const double move_s = decision.transfer_s + decision.rebuild_s;
  const Result<Plan> current = EvaluatePlan(problem, running.placements, "running");
  if (!current.ok()) {
    decision.move = true;
    decision.reason = "the running plan no longer holds: " + current.error().message;
    return decision;
  }
  if (current->objective <= 0) {
    decision.reason = "the running plan costs nothing";
    return decision;
  }
  decision.gain = 1 - candidate.objective / current->objective;
  const double gained_s = decision.gain * policy.horizon_s;
  if (decision.gain < policy.least_gain) {
    decision.reason = fmt::format("a gain of {:.1f} % is below {:.1f} %", 100 * decision.gain,
                                  100 * policy.least_gain);
  } else if (gained_s <= move_s) {
    decision.reason = fmt::format("it would gain {:.1f} s in {:.0f} s, and take {:.1f} s", gained_s,
                                  policy.horizon_s, move_s);
  } else {
    decision.move = true;
    decision.reason = fmt::format("it gains {:.1f} s in {:.0f} s, and takes {:.1f} s", gained_s,
                                  policy.horizon_s, move_s);
  }
  return decision;
}

}  // namespace shoal
