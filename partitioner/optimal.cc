#include "partitioner/optimal.h"

#include <fmt/format.h>

#include "partitioner/explain.h"
#include "partitioner/large_search.h"
#include "partitioner/plan_search.h"

namespace shoal {

namespace {

// About ten seconds; objectives that mix all three predictions may need them.
constexpr double kMaxWork = 1e10;
// About three seconds.
constexpr double kMaxLargeWork = 2.5e9;
// A bound so close to the objective is equal to it but for rounding.
constexpr double kRounding = 1e-10;

Error NoPlan(const PlanProblem& problem) {
  constexpr double kMiB = 1 << 20;
  const Shortage shortage = FindShortage(problem);
  const double needed = static_cast<double>(shortage.needed_bytes) / kMiB;
  const double available = static_cast<double>(shortage.available_bytes) / kMiB;
  return ResourceExhausted(fmt::format(
      "no plan fits: with KV for {} tokens and margin the model needs {:.0f} MiB or more, the "
      "devices have {:.0f} MiB{}",
      problem.workload.kv_tokens, needed, available,
      shortage.missing_bytes() > 0
          ? fmt::format(": {:.0f} MiB are missing", needed - available)
          : ", but no order and cut of them keeps every device's limit, links and constraints"));
}

class Optimal final : public Strategy {
 public:
  std::string_view name() const override { return "optimal"; }
  std::string_view description() const override {
    return "the best placement by the cost model, with a proven bound";
  }

  Result<Plan> Place(const PlanProblem& problem) const override {
    RETURN_IF_ERROR(CheckProblem(problem));
    const FoundPlan found = IsExactlySearchable(problem) ? SearchPlan(problem, kMaxWork)
                                                         : SearchLargePlan(problem, kMaxLargeWork);
    if (found.placements.empty()) {
      return NoPlan(problem);
    }
    ASSIGN_OR_RETURN(Plan plan, EvaluatePlan(problem, found.placements, std::string(name())));
    const bool exact = found.bound >= plan.objective * (1 - kRounding);
    plan.lower_bound = exact ? plan.objective : found.bound;
    return plan;
  }
};

}  // namespace

std::unique_ptr<Strategy> MakeOptimal() { return std::make_unique<Optimal>(); }

}  // namespace shoal
