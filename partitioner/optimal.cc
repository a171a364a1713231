#include "partitioner/optimal.h"

#include <fmt/format.h>

#include "partitioner/large_search.h"
#include "partitioner/plan_search.h"

namespace shoal {

namespace {

// About ten seconds; objectives that mix all three predictions may need them.
constexpr double kMaxWork = 1e10;
// A bound so close to the objective is equal to it but for rounding.
constexpr double kRounding = 1e-10;

class Optimal final : public Strategy {
 public:
  std::string_view name() const override { return "optimal"; }
  std::string_view description() const override {
    return "the best placement by the cost model, with a proven bound";
  }

  Result<Plan> Place(const PlanProblem& problem) const override {
    RETURN_IF_ERROR(CheckProblem(problem));
    const FoundPlan found =
        IsExactlySearchable(problem) ? SearchPlan(problem, kMaxWork) : SearchLargePlan(problem);
    if (found.placements.empty()) {
      return ResourceExhausted("no placement fits the devices and the constraints");
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
