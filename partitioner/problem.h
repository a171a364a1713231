// What a plan is made from: a model, a cluster, what will be asked of them, what shall be best, and
// what must hold.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "partitioner/cluster.h"
#include "partitioner/model_shape.h"

namespace shoal {

// What will be asked of the pipeline.
struct Workload {
  int64_t kv_tokens = 4096;     // that all sessions together may hold: memory is planned for these
  int32_t sessions = 1;         // in flight at once; what throughput is predicted for
  int32_t prompt_tokens = 512;  // of a typical request
  int32_t output_tokens = 128;
  int32_t prefill_chunk = 128;      // tokens of one prompt in one step
  int32_t step_token_budget = 256;  // tokens of all slices of one step: working memory
};

// What shall be small: the sum of three predictions, each in seconds, with these weights.
struct Objective {
  double decode_weight = 1;       // seconds from one token of a session to the next (TPOT)
  double period_weight = 0;       // 1 / tokens per second of all `sessions` together
  double first_token_weight = 0;  // seconds from a prompt's arrival to its first token (TTFT)

  static Objective Latency() { return {1, 0, 0}; }
  static Objective Throughput() { return {0, 1, 0}; }
  static Objective FirstToken() { return {0, 0, 1}; }
};

// What must hold of a plan. Devices by index.
struct Constraints {
  int32_t first = -1;             // holds the first stage; -1: any
  int32_t last = -1;              // holds the last stage; may be `first`: then raw text and sampled
                                  // tokens stay on it, and it may hold both ends of the pipeline
  std::vector<int32_t> required;  // hold at least one layer
  std::vector<int32_t> excluded;  // hold none
  bool keep_order = false;        // stages in the order of the devices
};

bool Contains(const std::vector<int32_t>& devices, int32_t device);

struct PlanProblem {
  ModelShape model;
  Cluster cluster;
  Workload workload;
  Objective objective;
  Constraints constraints;
};

// Errors (kInvalidArgument): those of CheckCluster; no layers; negative sizes; sizes in total
// beyond what an int64 holds; given_layer_s of another count than the layers; counts or weights of
// the workload or the objective that are not positive where they must be; constraints that name a
// device that does not exist, contradict each other or exclude all devices.
Status CheckProblem(const PlanProblem& problem);

}  // namespace shoal
