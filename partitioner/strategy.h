// One interface for every way to cut a model: ours, and the rivals' for comparison. A strategy is a
// pure function of the problem.
#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "partitioner/problem.h"

namespace shoal {

class Strategy {
 public:
  virtual ~Strategy() = default;
  virtual std::string_view name() const = 0;
  // Errors: kInvalidArgument (no devices, more devices than layers, a speed that is not positive),
  // kResourceExhausted (no split of this kind fits; names what is missing).
  virtual Result<Plan> Place(const PlanProblem& problem) const = 0;
};

// Contiguous split in proportion to measured speed, capped by memory: each device gets its share of
// the layers (largest remainders first, at least one), and what exceeds a device's memory moves to
// those that still have room, fastest first. Equal devices get equal numbers of layers.
std::unique_ptr<Strategy> MakeSpeedProportional();

}  // namespace shoal
