// What a plan is made from and what a plan is. Plain values with units; no I/O, clock or threads in
// this folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace shoal {

// Half-open range of layers is model/step's LayerRange elsewhere; the planner counts in its own
// ints so that it depends on nothing but base.
struct StageRange {
  int32_t begin = 0;
  int32_t end = 0;
};

// A device as it was measured.
struct DeviceProfile {
  std::string name;
  double weight_bytes_per_s = 0;  // decode: how fast it streams weights through its kernels
  int64_t memory_bytes = 0;       // that it may use for this model
};

// Costs of a model, by layer.
struct ModelShape {
  std::vector<int64_t> layer_weight_bytes;  // [layers] held by the stage that has the layer
  std::vector<int64_t> layer_token_bytes;   // [layers] of those, read for each decoded token
  int64_t embedding_bytes = 0;              // held by the first stage
  int64_t head_bytes = 0;                   // held by the last stage, and read for each token
  int64_t kv_bytes_per_layer_token = 0;
  int64_t activation_bytes_per_token = 0;  // that travel between stages

  int32_t layers() const { return static_cast<int32_t>(layer_weight_bytes.size()); }
};

struct PlanProblem {
  ModelShape model;
  std::vector<DeviceProfile> devices;  // in the order of the pipeline; each gets at least one layer
  int64_t kv_tokens = 0;               // that all sessions together may hold
};

struct PlannedStage {
  int32_t device = 0;  // index into the problem's devices
  StageRange layers;
  int64_t weight_bytes = 0;
  int64_t kv_bytes = 0;  // for the problem's kv_tokens
  double decode_s = 0;   // predicted, per token, without links
};

struct Plan {
  std::string strategy;
  std::vector<PlannedStage> stages;  // contiguous, in order, covering every layer once
};

// A plan counts weights, KV and this margin for buffers (promise 4).
constexpr double kMemoryMargin = 0.2;

// Fills in the costs of a split, and checks it. Errors: ranges that are not contiguous, do not
// cover [0, layers) or are empty; a count of ranges that is not the count of devices; a device
// whose memory the stage exceeds (names the device, what it needs and what it has).
Result<Plan> PlanForSplit(const PlanProblem& problem, const std::vector<StageRange>& ranges,
                          const std::string& strategy);

}  // namespace shoal
