// What a simulation gives. Plain values; units in the names.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "partitioner/plan.h"

namespace shoal {

// Percentiles 0 to 100 by nearest rank; all 0 for no values.
struct Distribution {
  int64_t count = 0;
  double mean = 0;
  std::array<double, 101> percentile{};

  static Distribution Of(std::vector<double> values);
};

struct DeviceUse {
  std::string name;
  bool used = false;          // by some plan
  std::string layers;         // of the first plan: "[0, 12)"; empty: it had none
  double utilization = 0;     // share of the measured time that it computed
  int64_t planned_bytes = 0;  // the most that a plan needed, with margin
  int64_t peak_bytes = 0;     // weights, buffers and the KV memory that was granted at most
  int64_t memory_bytes = 0;   // that it has
  double joules = 0;          // in the measured time; 0: its watts are unknown
};

struct LinkUse {
  std::string from;
  std::string to;
  double utilization = 0;  // share of the measured time that it was sending
};

// A stretch of time in which a device or a link was busy with a step.
struct Span {
  int32_t resource = 0;  // index into devices; or, beyond them, into links
  double begin_s = 0;
  double end_s = 0;
  uint64_t step = 0;
  bool prefill = false;  // the step has prompt tokens
};

struct SimulationReport {
  Plan plan;  // the first
  // Requests. All that arrived are in one of the three that follow.
  int64_t arrived = 0;
  int64_t done = 0;
  int64_t failed = 0;    // given up at the end of the drain, or with no device left to wait for
  int64_t rejected = 0;  // the queue was full, or it can never fit
  // Of requests that arrived in the measured time and are done.
  Distribution ttft_s;
  Distribution tpot_s;      // of those with at least two tokens: mean over a request's tokens
  Distribution queueing_s;  // from arrival to the first step that works on it
  Distribution latency_s;   // from arrival to the last token
  // In the measured time.
  double measured_s = 0;
  int64_t output_tokens = 0;
  double tokens_per_s = 0;
  double joules_per_token = 0;  // 0: some device's watts are unknown
  std::vector<DeviceUse> devices;
  std::vector<LinkUse> links;  // that a plan used
  // In all of the time.
  double simulated_s = 0;
  int64_t all_output_tokens = 0;
  int64_t steps = 0;
  int64_t failures = 0;  // of devices that the plan used
  int64_t failures_survived = 0;
  int64_t replans = 0;
  int64_t replayed_sessions = 0;
  double downtime_s = 0;  // without a pipeline that answers
  std::vector<Span> spans;
};

}  // namespace shoal
