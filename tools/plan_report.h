// Plans for people: text and SVG. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "partitioner/explain.h"
#include "partitioner/plan.h"

namespace shoal {

struct PlanHeading {
  std::string model;
  std::string cluster;
  std::string kv_type;
};

// The table of stages, the prediction, the objective and what was proved of it.
std::string PlanText(const PlanHeading& heading, const PlanProblem& problem, const Plan& plan);

// What holds the plan back, what the devices left out would cost, and what would help most.
std::string ExplanationText(const PlanProblem& problem, const Plan& plan,
                            const Explanation& explanation);

// Every device with its memory and time, one bar each.
std::string PlanSvg(const PlanHeading& heading, const PlanProblem& problem, const Plan& plan);

// What one strategy answered.
struct StrategyAnswer {
  std::string strategy;
  Result<Plan> plan;
};

// Best first, each beside the best; then those that have no plan, and why.
std::string ComparisonText(const PlanHeading& heading, const PlanProblem& problem,
                           const std::vector<StrategyAnswer>& answers);

}  // namespace shoal
