// One interface for every way to cut a model: ours, and the rivals' for comparison. A strategy is a
// pure function of the problem.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "partitioner/plan.h"

namespace shoal {

class Strategy {
 public:
  virtual ~Strategy() = default;
  virtual std::string_view name() const = 0;
  // One line for help texts: what it does and where it is from.
  virtual std::string_view description() const = 0;
  // Errors: those of CheckProblem, and kResourceExhausted (no placement of this kind fits: names
  // what is missing). What it returns has passed EvaluatePlan.
  virtual Result<Plan> Place(const PlanProblem& problem) const = 0;
};

// Contiguous split in proportion to measured decode speed, capped by memory: each device, in the
// given order, gets its share of the layers (largest remainders first, at least one), and what
// exceeds a device's memory moves to those that still have room, fastest first. Equal devices get
// equal numbers of layers.
std::unique_ptr<Strategy> MakeSpeedProportional();

// Rivals, one file each in partitioner/strategies: its first comment names the source and says
// where it departs from it. They keep to constraints or answer with an error that names the one
// broken.
std::unique_ptr<Strategy> MakeEven();
std::unique_ptr<Strategy> MakeMemoryProportional();
std::unique_ptr<Strategy> MakeTensorSplit();
std::unique_ptr<Strategy> MakeEdgeShardLatency();
std::unique_ptr<Strategy> MakeEdgeShardThroughput();
std::unique_ptr<Strategy> MakePipeEdge();
std::unique_ptr<Strategy> MakeHalda();
std::unique_ptr<Strategy> MakeHaldaWithoutLinks();
std::unique_ptr<Strategy> MakePetals();
std::unique_ptr<Strategy> MakeHelix();
std::unique_ptr<Strategy> MakeWaterFilling();

// All of them, in the order of help texts.
std::vector<std::unique_ptr<Strategy>> AllStrategies();
// Errors: kInvalidArgument (lists the names there are).
Result<std::unique_ptr<Strategy>> MakeStrategy(std::string_view name);

}  // namespace shoal
