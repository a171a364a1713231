// The forward pass of one transformer block over the tokens of a step, and what it needs: the batch
// and the buffers. Llama, qwen2 and qwen3 differ only in which vectors of LayerWeights are there.
//
// Rows of a batch are tokens. Every row's result depends on its own row and its session's cache
// only: matmuls give each row and output the same bits whatever else is computed with it, and
// attention is per query (kernels/kernel_table.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "model/transformer/activations.h"
#include "model/transformer/config.h"
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

class BlockRunner {
 public:
  // Buffers for max_rows(config) tokens.
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

  // logits [rows, vocab] = head * RmsNorm(x); x [rows, model_dim]. REQUIRES rows <= MaxRows.
  void Head(const std::vector<float>& output_norm, const kernels::WeightMatrix& head, int32_t rows,
            const float* x, float* logits);

  int64_t buffer_bytes() const;

 private:
  struct MatMul {
    const kernels::WeightMatrix* weights;
    float* out;  // [rows, weights->rows]
  };

  template <typename Body>
  void ForEachRow(int64_t rows, Body&& body);
  void Normalize(const std::vector<float>& norm, int64_t rows, const float* x, FormatSet formats);
  void RunMatMuls(std::initializer_list<MatMul> matmuls, int64_t rows);
  void MultiplyRows(const MatMul& matmul, int64_t row_begin, int64_t row_end, int64_t rows) const;
  void ProjectQkv(const LayerWeights& weights, int32_t layer, const Batch& batch);
  void KeepRows(const Batch& batch, const Batch& outputs, float* x);
  void Attend(int32_t layer, const Batch& batch);
  void FeedForward(const LayerWeights& weights, int64_t rows);
  void AddProjection(const std::vector<float>& bias, int64_t rows, float* x);

  const ModelConfig& config_;
  const kernels::KernelTable& kernels_;
  ThreadPool& pool_;
  const RopeAngles rope_;
  const kernels::AttentionShape shape_;
  const int64_t q_dim_;
  const int64_t kv_dim_;

  // A tile of queries of one span and kv head.
  struct AttendTask {
    const BatchSpan* span;
    int32_t first;  // row within the span
    int32_t rows;
  };
  std::vector<AttendTask> attend_tasks_;

  // All [MaxRows, ..].
  std::vector<float> cos_, sin_;  // [pairs]
  std::vector<float> normed_;     // [model_dim]: a matmul's input, then a projection's output
  std::vector<float> wide_;       // what attention and feed-forward take turns with:
  float* q_;                      // [q_dim]
  float* attended_;               // [q_dim]
  float* k_;                      // [kv_dim]
  float* v_;                      // [kv_dim]
  float* gate_;                   // [ffn_dim]
  float* up_;                     // [ffn_dim]
  ActivationBuffer activations_;
};

}  // namespace shoal
