// What a device was measured at: plain values. How they are measured: node/profiler.h; how they
// travel: proto/control.proto.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/gguf/tensor_type.h"

namespace shoal {

// The layer to measure with: a gated dense one. Of a model with experts, one expert's width.
struct LayerDims {
  int32_t model_dim = 2048;
  int32_t heads = 32;
  int32_t kv_heads = 8;
  int32_t head_dim = 64;
  int32_t ffn_dim = 5632;
  TensorType kv_type = TensorType::kF16;

  bool operator==(const LayerDims&) const = default;
};

// Weights of one type, read at this speed while they serve `tokens` tokens at once.
struct BatchRate {
  int32_t tokens = 1;
  double bytes_per_s = 0;
};

struct TypeRate {
  TensorType type = TensorType::kF32;
  std::vector<BatchRate> batches;  // ascending tokens, at least one
};

// Seconds and rates as the cost model means them (partitioner/cluster.h).
struct ComputeProfile {
  std::vector<TypeRate> types;
  double attention_decode_macs_per_s = 0;
  double attention_prefill_macs_per_s = 0;
  double elementwise_values_per_s = 0;
  double matrix_s = 0;
  double layer_s = 0;
  double step_s = 0;
};

struct CoreClass {
  int32_t cores = 0;
  int64_t capacity = 0;  // relative speed; 0: the OS does not tell
};

// What the OS tells; -1: it does not.
struct DeviceState {
  int32_t battery_percent = -1;
  bool on_battery = false;
  double temperature_c = -1;  // of the hottest zone
};

}  // namespace shoal
