// Random planning problems, and a planner that tries everything.
#pragma once

#include <cstdint>
#include <random>

#include "partitioner/plan.h"

namespace shoal {

struct CaseSize {
  int32_t most_devices = 5;
  int32_t most_layers = 12;
  bool constrained = true;  // pins, required and excluded devices, an order, unusable links
};

// A problem that passes CheckProblem. Some have alike devices, experts, tight memory, given times.
PlanProblem RandomProblem(std::mt19937& random, const CaseSize& size);

struct BruteForce {
  std::vector<Placement> placements;  // of the best plan; empty if there is none
  double objective = 0;
  int64_t plans = 0;  // that were tried
};

// Every order of every subset of the devices, and every cut. Its objective is added up here, from
// the costs of stages and hops, and not by EvaluatePlan, which checks the winner.
BruteForce TryEverything(const PlanProblem& problem);

}  // namespace shoal
