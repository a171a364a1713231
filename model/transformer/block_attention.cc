// The attention half of a block.
#include <algorithm>
#include <cstring>

#include "model/transformer/block.h"

namespace shoal {

namespace {

// Queries that attend together: they share each page while it is in the cache.
constexpr int32_t kAttendTile = 16;

// Below this a parallel loop costs more than it gains.
constexpr int64_t kMinAttendProducts = 100'000;

kernels::KvType KvTypeOf(TensorType type) {
  switch (type) {
    case TensorType::kF32: return kernels::KvType::kF32;
    case TensorType::kQ8_0: return kernels::KvType::kQ8_0;
    default: return kernels::KvType::kF16;
  }
}

}  // namespace

kernels::AttentionShape AttentionShapeOf(const ModelConfig& config, TensorType kv_type) {
  kernels::AttentionShape shape;
  shape.heads = config.heads;
  shape.kv_heads = config.kv_heads;
  shape.head_dim = config.head_dim;
  shape.scale = config.attention_scale;
  shape.kv_type = KvTypeOf(kv_type);
  shape.softcap = config.attention_softcap;
  return shape;
}

kernels::AttentionShape BlockRunner::ShapeOf(const LayerWeights& weights) const {
  kernels::AttentionShape shape = shape_;
  shape.window = weights.config.window;
  if (!weights.sinks.empty()) shape.sinks = weights.sinks.data();
  return shape;
}

// q, k and v with biases, norms and angles applied; k and v go to the cache.
void BlockRunner::ProjectQkv(const LayerWeights& weights, int32_t layer, const Batch& batch) {
  RunMatMuls({{&weights.attn_q, q_}, {&weights.attn_k, k_}, {&weights.attn_v, v_}}, batch.rows);
  ForEachRow(batch.rows, [&](int64_t row) { FinishQkv(weights, layer, batch, row); });
}

void BlockRunner::FinishQkv(const LayerWeights& weights, int32_t layer, const Batch& batch,
                            int64_t row) {
  float* q = q_ + row * q_dim_;
  float* k = k_ + row * kv_dim_;
  float* v = v_ + row * kv_dim_;
  const auto add_bias = [this](const std::vector<float>& bias, float* values) {
    if (!bias.empty()) kernels_.add(values, bias.data(), static_cast<int64_t>(bias.size()));
  };
  add_bias(weights.q_bias, q);
  add_bias(weights.k_bias, k);
  add_bias(weights.v_bias, v);

  // A norm is as wide as what it normalizes: one head, or all of them.
  const auto normalize = [this](const std::vector<float>& norm, float* values, int64_t count) {
    const auto width = static_cast<int64_t>(norm.size());
    for (int64_t at = 0; width != 0 && at < count; at += width) {
      kernels_.rms_norm(values + at, norm.data(), width, config_.norm_epsilon, values + at);
    }
  };
  normalize(weights.q_norm, q, q_dim_);
  normalize(weights.k_norm, k, kv_dim_);

  if (weights.config.rope != LayerRope::kNone) {
    const Rope& rope = weights.config.rope == LayerRope::kWindow ? *window_rope_ : rope_;
    const auto rotate = config_.rope.layout == RopeLayout::kAdjacent ? kernels_.rope_adjacent
                                                                     : kernels_.rope_halves;
    const float* cos = rope.cos.data() + row * rope.angles.pairs();
    const float* sin = rope.sin.data() + row * rope.angles.pairs();
    rotate(q, cos, sin, config_.heads, config_.head_dim, config_.rope.dim);
    rotate(k, cos, sin, config_.kv_heads, config_.head_dim, config_.rope.dim);
  }

  const BatchSpan& span = batch.SpanOf(row);
  const int64_t position = span.position + row - span.first_row;
  kernels_.store_kv(shape_, k, v, span.kv->pages(layer)[position / kernels::kKvPageTokens],
                    static_cast<int32_t>(position % kernels::kKvPageTokens));
}

// Moves the rows of x and q that `outputs` wants to the front.
void BlockRunner::KeepRows(const Batch& batch, const Batch& outputs, float* x) {
  const auto move = [](float* rows, int64_t dim, int64_t from, int64_t to, int64_t count) {
    std::memmove(rows + to * dim, rows + from * dim,
                 static_cast<size_t>(count * dim) * sizeof(float));
  };
  auto source = batch.spans.begin();
  for (const BatchSpan& kept : outputs.spans) {
    while (source->kv != kept.kv || kept.position >= source->position + source->rows) ++source;
    const int64_t from = source->first_row + kept.position - source->position;
    move(x, config_.model_dim, from, kept.first_row, kept.rows);
    move(q_, q_dim_, from, kept.first_row, kept.rows);
  }
}

// normed = attn_output * attention
void BlockRunner::Attend(const LayerWeights& weights, int32_t layer, const Batch& batch) {
  attend_tasks_.clear();
  int64_t products = 0;
  for (const BatchSpan& span : batch.spans) {
    for (int32_t first = 0; first < span.rows; first += kAttendTile) {
      attend_tasks_.push_back({&span, first, std::min(kAttendTile, span.rows - first)});
    }
    products += int64_t{span.rows} * (span.position + span.rows) * 2 * q_dim_;
  }
  const kernels::AttentionShape shape = ShapeOf(weights);
  const int64_t items = static_cast<int64_t>(attend_tasks_.size()) * config_.kv_heads;
  const int64_t grain = products < kMinAttendProducts ? items : 1;
  pool_.ParallelFor(items, grain, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const AttendTask& task = attend_tasks_[static_cast<size_t>(item / config_.kv_heads)];
      const int64_t at = (task.span->first_row + task.first) * q_dim_;
      kernels_.attend(shape, q_ + at, task.rows, int64_t{task.span->position} + task.first,
                      task.span->kv->pages(layer), static_cast<int32_t>(item % config_.kv_heads),
                      attended_ + at);
    }
  });
  FormatSet formats;
  formats.Add(weights.attn_output.type);
  activations_.Start(attended_, q_dim_, formats);
  ForEachRow(batch.rows, [&](int64_t row) { activations_.QuantizeRow(row); });
  RunMatMuls({{&weights.attn_output, normed_.data()}}, batch.rows);
}

}  // namespace shoal
