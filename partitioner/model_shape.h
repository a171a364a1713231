// What a model costs, by layer: bytes to hold, bytes and multiply-adds to compute with, bytes to
// keep and bytes to send for each token. Plain values, from the manifest alone.
//
// Plain values with units; no I/O, clock or threads in this folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace shoal {

// The weights of one tensor type within a layer (or the head): a device computes each type at its
// own speed.
struct WeightGroup {
  std::string type;      // as GGUF names it: "Q4_K"
  int64_t bytes = 0;     // resident
  int64_t macs = 0;      // multiply-adds for one token, if it used all of them
  int32_t matrices = 0;  // matrix products that they are used in
  int32_t experts = 1;   // of which a token uses `experts_used`; 1 of 1 for dense weights
  int32_t experts_used = 1;

  bool operator==(const WeightGroup&) const = default;
};

struct LayerShape {
  std::vector<WeightGroup> weights;
  int64_t vector_bytes = 0;                 // resident weights of no matrix: norms, biases
  int64_t kv_bytes_per_token = 0;           // that its cache grows by
  int64_t attention_macs_per_position = 0;  // for one token and one cached position
  int32_t attention_window = 0;             // positions that a token sees at most; 0: all
  int64_t elementwise_values = 0;           // that norms, activations and sums pass over, per token
  int64_t activation_bytes = 0;             // per token, to the stage with the next layer

  bool operator==(const LayerShape&) const = default;
};

struct ModelShape {
  std::vector<LayerShape> layers;
  std::vector<WeightGroup> embedding;  // held by the first stage; a token reads one row of it
  std::vector<WeightGroup> head;       // held by the last stage, and used for sampled tokens only
  int64_t buffer_bytes_per_token = 0;  // working memory of a stage for each token of a step

  int32_t layer_count() const { return static_cast<int32_t>(layers.size()); }
};

// Half-open range of layers, in the planner's own ints: this folder depends on base only.
struct StageRange {
  int32_t begin = 0;
  int32_t end = 0;

  int32_t size() const { return end - begin; }
  bool operator==(const StageRange&) const = default;
};

int64_t ResidentBytes(const std::vector<WeightGroup>& groups);

// Bytes of weights that one decoded token reads: of experts those that it is routed to.
int64_t BytesPerToken(const std::vector<WeightGroup>& groups);
int64_t MacsPerToken(const std::vector<WeightGroup>& groups);  // likewise

// Of all layers and the head. Attention comes on top.
int64_t BytesPerToken(const ModelShape& model);
int64_t MacsPerToken(const ModelShape& model);

}  // namespace shoal
