// Many simulations at once: every combination of a grid of parameters and of strategies, in
// parallel, with results that do not depend on the number of threads.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "partitioner/strategy.h"
#include "tools/simulator/options.h"
#include "tools/simulator/simulation_report.h"

namespace shoal {

// A parameter and the values that it takes.
struct SweepAxis {
  std::string parameter;
  std::vector<double> values;
};

constexpr size_t kMaxSweepRuns = 100'000;

// "PARAMETER=A..B:lin:COUNT", "PARAMETER=A..B:log:COUNT", "PARAMETER=A..B" (whole numbers),
// "PARAMETER=A,B,C". Errors (kInvalidArgument): no such parameter (lists them), a value that is not
// a number, a range that is reversed, too many values.
Result<SweepAxis> ParseSweep(std::string_view text, const Cluster& cluster);

// For help texts: "link.bandwidth (bytes/s of every link)", ...
std::vector<std::string> SweepParameters();

// Sets the parameter. Errors (kInvalidArgument): a value that it cannot have.
Status SetParameter(SimulationOptions& options, const std::string& parameter, double value);

// One run: what was set, and what came of it.
struct SweepRun {
  std::vector<double> values;  // of each axis
  std::string strategy;
  uint64_t seed = 0;
  Result<SimulationReport> report;
};

// All runs, the last axis changing first and strategies within. Each run's seed comes from the
// options' seed and the values: strategies are compared on the same requests, failures and
// arrivals. An error of one run stands in its place; only runs of the first values keep a timeline.
// Errors (kInvalidArgument): more than
// kMaxSweepRuns. REQUIRES threads >= 1. `progress` is called from any thread, after each run.
Result<std::vector<SweepRun>> RunSweep(const SimulationOptions& options,
                                       const std::vector<SweepAxis>& axes,
                                       const std::vector<const Strategy*>& strategies, int threads,
                                       const std::function<void()>& progress);

}  // namespace shoal
