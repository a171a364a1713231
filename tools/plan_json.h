// Problems and plans as JSON: what strategy programs read and answer, and what `shoal plan --json`
// prints. The schema is written down in docs/own-strategy.md and stays as it is. Pure functions.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "partitioner/plan.h"

namespace shoal {

// Of the schema; it goes up when a key changes its meaning or goes away.
constexpr int kPlanJsonVersion = 1;

// REQUIRES CheckProblem to have passed.
nlohmann::json ProblemToJson(const PlanProblem& problem);
nlohmann::json PlanToJson(const PlanProblem& problem, const Plan& plan);

// {"placements": [{"device": NAME or INDEX, "layers": [BEGIN, END]}, ...]}. Checks the form only:
// EvaluatePlan says whether it is a plan. Errors: kInvalidArgument, naming what is wrong and where.
Result<std::vector<Placement>> PlacementsFromJson(std::string_view text,
                                                  const PlanProblem& problem);

}  // namespace shoal
