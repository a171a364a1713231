// What a simulation is asked for: the problem that plans are made for, and what happens to them.
// Plain values; tools/simulator/option_parse.h reads them from text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "partitioner/problem.h"

namespace shoal {

// How many tokens a request's prompt or answer has.
struct TokenDistribution {
  enum class Kind {
    kFixed,      // `first` tokens
    kUniform,    // whole numbers from `first` to `second`, both included
    kLognormal,  // median `first`, deviation of the logarithm `second`; rounded, at least 1
  };
  Kind kind = Kind::kFixed;
  double first = 1;
  double second = 0;

  double Mean() const;
};

struct TraceRequest {
  double arrival_s = 0;
  int32_t prompt_tokens = 1;
  int32_t output_tokens = 1;
};

struct Arrivals {
  enum class Kind {
    kPoisson,  // `rate_per_s` on average, independent of each other
    kClosed,   // `clients`, each of which sends its next request when the last one has ended
    kTrace,    // `trace`, in order of arrival; its token counts take the place of distributions
  };
  Kind kind = Kind::kPoisson;
  double rate_per_s = 1;
  int32_t clients = 1;
  std::vector<TraceRequest> trace = {};
};

struct ChurnEvent {
  double time_s = 0;
  int32_t device = 0;
  bool up = false;
  bool by_chance = false;  // drawn; the device's next one follows on it
};

// Devices that are lost and come back empty.
struct Churn {
  double mtbf_s = 0;  // mean time to a device's failure, exponential; 0: none fails by chance
  double mttr_s = 0;  // mean time until it is back, exponential
  std::vector<ChurnEvent> events = {};  // ascending
};

struct Jitter {
  double compute_sigma = 0;       // of the logarithm of a factor on each stage's time in each step
  double latency_sigma = 0;       // likewise, on each hop's latency
  bool latency_measured = false;  // latency_sigma from each link's median and 95th percentile
};

// A device that computes slower (factor > 1) for a while.
struct Straggler {
  int32_t device = 0;
  double factor = 1;
  double from_s = 0;
  double to_s = 1e18;
};

// What a loss costs, and when a better plan is taken.
struct Recovery {
  double detection_s = 2;   // from the loss of a device until the coordinator knows
  double replan_s = 0.5;    // to plan, prepare and link, without loading
  double least_gain = 0.1;  // of the objective, for which a serving pipeline moves to a better plan
                            // when a device is back
};

struct SimulationOptions {
  // Its workload is both what plans are made for and the scheduler's limits: `sessions` at most
  // hold KV memory at once, of `kv_tokens` in total.
  PlanProblem problem;
  int32_t context_tokens = 4096;  // the most one session may hold: longer answers are cut
  int32_t max_queued = 256;       // requests that wait; more are rejected
  Arrivals arrivals;
  TokenDistribution prompt_tokens;
  TokenDistribution output_tokens;
  int64_t max_requests = 1'000'000;  // that arrive
  double duration_s = 600;           // during which requests arrive, and which is measured
  double warmup_s = 0;               // not measured, at the beginning
  double drain_s = 3600;             // after it, until the last requests are given up
  Churn churn;
  Jitter jitter;
  std::vector<Straggler> stragglers;
  Recovery recovery;
  uint64_t seed = 1;
  int32_t timeline_spans = 0;  // busy times of stages and links to keep for a plot
};

constexpr int64_t kMaxRequests = 4'000'000;
constexpr double kMaxSeconds = 1e9;

// Errors: those of CheckProblem, and kInvalidArgument (names the option and its value): what is
// negative, not a number, out of order or beyond a limit; a device that does not exist.
Status CheckOptions(const SimulationOptions& options);

}  // namespace shoal
