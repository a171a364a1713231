// The forward pass of one transformer block over the tokens of a step, and what it needs: the batch
// and the buffers. Families differ in which parts of LayerWeights are there and in the switches of
// ModelConfig. block_attention.cc and block_feed_forward.cc hold its two halves.
//
// Rows of a batch are tokens. Every row's result depends on its own row and its session's cache
// only: matmuls give each row and output the same bits whatever else is computed with it, and
// attention is per query (kernels/kernel_table.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "model/transformer/activations.h"
#include "model/transformer/config.h"
#include "model/transformer/expert_routing.h"
#include "model/transformer/kv_cache.h"
#include "model/transformer/rope.h"
#include "model/transformer/weights.h"

namespace shoal {

// Consecutive tokens of one session in a batch.
struct BatchSpan {
  const KvSession* kv = nullptr;  // grown to hold the span's positions
  int32_t position = 0;           // of the first token
  int32_t first_row = 0;
  int32_t rows = 0;
};

// Spans in order of rows, without gaps.
struct Batch {
  std::vector<BatchSpan> spans;
  int32_t rows = 0;

  void Add(const KvSession* kv, int32_t position, int32_t count) {
    spans.push_back({kv, position, rows, count});
    rows += count;
  }
  void Clear() {
    spans.clear();
    rows = 0;
  }
  // REQUIRES 0 <= row < rows.
  const BatchSpan& SpanOf(int64_t row) const {
    const auto after = std::upper_bound(
        spans.begin(), spans.end(), row,
        [](int64_t value, const BatchSpan& span) { return value < span.first_row; });
    return *std::prev(after);
  }
};

// What all layers' attention has in common. REQUIRES IsKvType(kv_type).
kernels::AttentionShape AttentionShapeOf(const ModelConfig& config, TensorType kv_type);

class BlockRunner {
 public:
  // Buffers for MaxRows(config) tokens.
  BlockRunner(const ModelConfig& config, const kernels::AttentionShape& shape,
              const kernels::KernelTable& kernels, ThreadPool& pool, FormatSet formats);

  // How many tokens are computed at a time: limited so that buffers stay modest.
  static int32_t MaxRows(const ModelConfig& config);

  // Sets the angles of the batch's positions. REQUIRES batch.rows <= MaxRows.
  void StartBatch(const Batch& batch);

  // x [batch.rows, model_dim] in place; `layer` counts from the stage's first. If `outputs` is not
  // null only those rows of x are needed afterwards: they are moved to the front, in order, and the
  // rest is lost. Each span of `outputs` lies within one of `batch`, in the same order.
  void Run(const LayerWeights& weights, int32_t layer, const Batch& batch, const Batch* outputs,
           float* x);

  // logits [rows, vocab] = head * norm(x), scaled and capped as the model says; x [rows,
  // model_dim]. REQUIRES rows <= MaxRows.
  void Head(const NormWeights& output_norm, const kernels::WeightMatrix& head, int32_t rows,
            const float* x, float* logits);

  int64_t buffer_bytes() const;

 private:
  struct MatMul {
    const kernels::WeightMatrix* weights;
    float* out;  // [rows, weights->rows]

    int64_t units() const {  // of kernels::kRowUnit weight rows
      return (weights->rows + kernels::kRowUnit - 1) / kernels::kRowUnit;
    }
  };
  // Rows of the activations that a matmul takes.
  struct Rows {
    int64_t first;
    int64_t count;
  };
  // The angles of the batch's positions.
  struct Rope {
    RopeAngles angles;
    std::vector<float> cos, sin;  // [MaxRows, pairs]
  };

  template <typename Body>
  void ForEachRow(int64_t rows, Body&& body);
  void Norm(const NormWeights& norm, const float* x, float* out) const;
  void Normalize(const NormWeights& norm, int64_t rows, const float* x, FormatSet formats);
  void RunMatMuls(std::initializer_list<MatMul> matmuls, int64_t rows);
  void MultiplyRows(const MatMul& matmul, int64_t row_begin, int64_t row_end, Rows rows) const;
  void AddProjection(const std::vector<float>& bias, const NormWeights& norm, int64_t rows,
                     float* x);

  kernels::AttentionShape ShapeOf(const LayerWeights& weights) const;
  void ProjectQkv(const LayerWeights& weights, int32_t layer, const Batch& batch);
  void FinishQkv(const LayerWeights& weights, int32_t layer, const Batch& batch, int64_t row);
  void KeepRows(const Batch& batch, const Batch& outputs, float* x);
  void Attend(const LayerWeights& weights, int32_t layer, const Batch& batch);

  template <typename Body>
  void ForEachUnit(const std::vector<FfnGroup>& groups, int64_t units, Body&& body);
  void FeedForward(const LayerWeights& weights, int64_t rows);
  void Route(const LayerWeights& weights, int64_t rows);
  void RunFfn(const std::vector<FfnWeights>& ffn, const std::vector<FfnGroup>& groups, float* out);
  void GateAndUp(const FfnWeights& ffn, const FfnGroup& group, int64_t first, int64_t last);
  void Activate(const FfnWeights& ffn, int64_t first, int64_t count, float* gate, float* up) const;
  void Down(const FfnWeights& ffn, const FfnGroup& group, int64_t first, int64_t last,
            float* out) const;
  void AddExperts(int64_t rows);

  const ModelConfig& config_;
  const kernels::KernelTable& kernels_;
  ThreadPool& pool_;
  Rope rope_;
  std::optional<Rope> window_rope_;
  const kernels::AttentionShape shape_;  // without what layers differ in
  const int64_t q_dim_;
  const int64_t kv_dim_;

  // A tile of queries of one span and kv head.
  struct AttendTask {
    const BatchSpan* span;
    int32_t first;  // row within the span
    int32_t rows;
  };
  std::vector<AttendTask> attend_tasks_;

  // All [MaxRows, ..], or [slots, ..] with up to MaxRows * experts_used slots.
  std::vector<float> normed_;  // [model_dim]: a matmul's input, then a projection's output
  std::vector<float> wide_;    // what attention and feed-forward take turns with:
  float* q_;                   // [q_dim]
  float* attended_;            // [q_dim]
  float* k_;                   // [kv_dim]
  float* v_;                   // [kv_dim]
  float* gate_;                // [slots, ffn_dim]
  float* up_;                  // [slots, ffn_dim]
  float* expert_rows_;         // [slots, model_dim]: what experts take, then what they give
  float* router_logits_;       // [experts]
  ActivationBuffer activations_;
  std::optional<ExpertRouting> routing_;  // if there are experts
  std::vector<FfnGroup> all_rows_;        // if there are none: one group
};

template <typename Body>
void BlockRunner::ForEachRow(int64_t rows, Body&& body) {
  constexpr int64_t kMinRowsPerPart = 8;  // below this a parallel loop costs more than it gains
  pool_.ParallelFor(rows, GrainFor(rows, pool_.threads(), kMinRowsPerPart),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t row = begin; row < end; ++row) body(row);
                    });
}

}  // namespace shoal
