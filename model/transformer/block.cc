#include "model/transformer/block.h"

#include <algorithm>

namespace shoal {

namespace {

// Buffers for more tokens than this make matmuls hardly any faster.
constexpr int64_t kMostRows = 256;
constexpr int64_t kBufferBytes = 32 << 20;

// Below this a parallel loop over values costs more than it gains.
constexpr int64_t kMinValuesPerPart = 4096;

// Activations of a matmul that all rows of a part pass over should stay in a core's own cache.
constexpr int64_t kMatMulTileBytes = 192 << 10;

int64_t SlotsPerRow(const ModelConfig& config) { return std::max(config.experts_used, 1); }

// Floats per row of the buffer that attention and feed-forward take turns with.
int64_t WideRow(const ModelConfig& config) {
  const int64_t attention = int64_t{2} * (config.heads + config.kv_heads) * config.head_dim;
  int64_t feed_forward = SlotsPerRow(config) * 2 * config.ffn_dim;
  if (config.experts != 0) {
    feed_forward += SlotsPerRow(config) * config.model_dim + config.experts;
  }
  return std::max(attention, feed_forward);
}

// The most values per row that are a matmul's input.
int64_t LongestInput(const ModelConfig& config) {
  const int64_t slots = SlotsPerRow(config);
  return std::max<int64_t>(
      {slots * config.model_dim, slots * config.ffn_dim, config.heads * config.head_dim});
}

}  // namespace

int32_t BlockRunner::MaxRows(const ModelConfig& config) {
  const int64_t row_bytes =
      (WideRow(config) + config.model_dim) * static_cast<int64_t>(sizeof(float)) +
      2 * LongestInput(config);
  return static_cast<int32_t>(
      std::clamp<int64_t>(kBufferBytes / row_bytes / 16 * 16, 16, kMostRows));
}

BlockRunner::BlockRunner(const ModelConfig& config, const kernels::AttentionShape& shape,
                         const kernels::KernelTable& kernels, ThreadPool& pool, FormatSet formats)
    : config_(config),
      kernels_(kernels),
      pool_(pool),
      rope_{RopeAngles(config.rope), {}, {}},
      shape_(shape),
      q_dim_(int64_t{config.heads} * config.head_dim),
      kv_dim_(int64_t{config.kv_heads} * config.head_dim),
      activations_(kernels, formats, MaxRows(config) * LongestInput(config)) {
  const int64_t max_rows = MaxRows(config);
  const auto rows = static_cast<size_t>(max_rows);
  if (config.window_rope) window_rope_ = Rope{RopeAngles(*config.window_rope), {}, {}};
  for (Rope* rope : {&rope_, window_rope_ ? &*window_rope_ : nullptr}) {
    if (rope == nullptr) continue;
    rope->cos.resize(rows * static_cast<size_t>(rope->angles.pairs()));
    rope->sin.resize(rope->cos.size());
  }
  normed_.resize(rows * static_cast<size_t>(config.model_dim));
  wide_.resize(rows * static_cast<size_t>(WideRow(config)));
  q_ = wide_.data();
  attended_ = q_ + max_rows * q_dim_;
  k_ = attended_ + max_rows * q_dim_;
  v_ = k_ + max_rows * kv_dim_;
  const int64_t max_slots = max_rows * SlotsPerRow(config);
  gate_ = wide_.data();
  up_ = gate_ + max_slots * config.ffn_dim;
  expert_rows_ = up_ + max_slots * config.ffn_dim;
  router_logits_ = expert_rows_ + max_slots * config.model_dim;
  if (config.experts != 0) {
    routing_.emplace(config.experts, config.experts_used, MaxRows(config));
  }
  all_rows_.resize(1);
}

void BlockRunner::StartBatch(const Batch& batch) {
  CHECK(batch.rows <= MaxRows(config_), "a batch fits the buffers");
  for (Rope* rope : {&rope_, window_rope_ ? &*window_rope_ : nullptr}) {
    if (rope == nullptr) continue;
    for (const BatchSpan& span : batch.spans) {
      for (int32_t i = 0; i < span.rows; ++i) {
        const int64_t at = int64_t{span.first_row + i} * rope->angles.pairs();
        rope->angles.At(int64_t{span.position} + i, span.kv->context_tokens(),
                        rope->cos.data() + at, rope->sin.data() + at);
      }
    }
  }
}

void BlockRunner::Run(const LayerWeights& weights, int32_t layer, const Batch& batch,
                      const Batch* outputs, float* x) {
  FormatSet formats;
  for (const auto* matrix : {&weights.attn_q, &weights.attn_k, &weights.attn_v}) {
    formats.Add(matrix->type);
  }
  Normalize(weights.attn_norm, batch.rows, x, formats);
  ProjectQkv(weights, layer, batch);
  if (outputs != nullptr) KeepRows(batch, *outputs, x);
  const Batch& rest = outputs != nullptr ? *outputs : batch;
  if (rest.rows == 0) return;

  Attend(weights, layer, rest);
  AddProjection(weights.attn_output_bias, weights.post_attn_norm, rest.rows, x);

  FormatSet ffn_formats;
  for (const auto* matrix : {&weights.router, &weights.ffn[0].gate, &weights.ffn[0].up}) {
    if (matrix->rows != 0) ffn_formats.Add(matrix->type);
  }
  Normalize(weights.ffn_norm, rest.rows, x, ffn_formats);
  FeedForward(weights, rest.rows);
  AddProjection({}, weights.post_ffn_norm, rest.rows, x);
}

void BlockRunner::Head(const NormWeights& output_norm, const kernels::WeightMatrix& head,
                       int32_t rows, const float* x, float* logits) {
  FormatSet formats;
  formats.Add(head.type);
  Normalize(output_norm, rows, x, formats);
  RunMatMuls({{&head, logits}}, rows);
  const float scale = config_.logit_scale;
  const float cap = config_.final_softcap;
  if (scale == 1 && cap == 0) return;
  const int64_t values = rows * head.rows;
  pool_.ParallelFor(values, GrainFor(values, pool_.threads(), kMinValuesPerPart),
                    [&](int64_t begin, int64_t end) {
                      if (scale != 1) kernels_.multiply(logits + begin, scale, end - begin);
                      if (cap != 0) kernels_.soft_cap(logits + begin, cap, end - begin);
                    });
}

// out [model_dim] = x normalized; `out` may be `x`.
void BlockRunner::Norm(const NormWeights& norm, const float* x, float* out) const {
  const int64_t dim = config_.model_dim;
  if (norm.weight.empty()) {
    if (out != x) std::copy_n(x, dim, out);
  } else if (norm.bias.empty()) {
    kernels_.rms_norm(x, norm.weight.data(), dim, config_.norm_epsilon, out);
  } else {
    kernels_.layer_norm(x, norm.weight.data(), norm.bias.data(), dim, config_.norm_epsilon, out);
  }
}

// normed = x normalized, as the next matmuls' input.
void BlockRunner::Normalize(const NormWeights& norm, int64_t rows, const float* x,
                            FormatSet formats) {
  const int64_t dim = config_.model_dim;
  activations_.Start(normed_.data(), dim, formats);
  ForEachRow(rows, [&](int64_t row) {
    Norm(norm, x + row * dim, normed_.data() + row * dim);
    activations_.QuantizeRow(row);
  });
}

// All matrices' rows as one loop, so that small ones do not each wait for the slowest thread.
void BlockRunner::RunMatMuls(std::initializer_list<MatMul> matmuls, int64_t rows) {
  int64_t units = 0;
  for (const MatMul& matmul : matmuls) units += matmul.units();
  pool_.ParallelFor(units, GrainFor(units, pool_.threads(), 1), [&](int64_t begin, int64_t end) {
    for (const MatMul& matmul : matmuls) {
      const int64_t count = matmul.units();
      if (begin < count && end > 0) {
        MultiplyRows(matmul, std::max<int64_t>(begin, 0) * kernels::kRowUnit,
                     std::min(matmul.weights->rows, end * kernels::kRowUnit), {0, rows});
      }
      begin -= count;
      end -= count;
    }
  });
}

// Weight rows [row_begin, row_end) of one matrix, over tiles of tokens that stay in the cache.
void BlockRunner::MultiplyRows(const MatMul& matmul, int64_t row_begin, int64_t row_end,
                               Rows rows) const {
  const kernels::WeightMatrix& weights = *matmul.weights;
  const int64_t tile = std::max<int64_t>(kMatMulTileBytes / weights.cols / 8 * 8, 16);
  const int64_t end = rows.first + rows.count;
  for (int64_t first = rows.first; first < end; first += tile) {
    kernels_.matmul(weights, activations_.View(weights.type, first), std::min(tile, end - first),
                    row_begin, row_end, matmul.out + first * weights.rows, weights.rows);
  }
}

// x += residual_scale * norm(normed + bias)
void BlockRunner::AddProjection(const std::vector<float>& bias, const NormWeights& norm,
                                int64_t rows, float* x) {
  const int64_t dim = config_.model_dim;
  ForEachRow(rows, [&](int64_t row) {
    float* projected = normed_.data() + row * dim;
    if (!bias.empty()) kernels_.add(projected, bias.data(), dim);
    Norm(norm, projected, projected);
    if (config_.residual_scale == 1) {
      kernels_.add(x + row * dim, projected, dim);
    } else {
      kernels_.add_scaled(x + row * dim, config_.residual_scale, projected, dim);
    }
  });
}

int64_t BlockRunner::buffer_bytes() const {
  size_t floats = 2 * rope_.cos.size() + normed_.size() + wide_.size();
  if (window_rope_) floats += 2 * window_rope_->cos.size();
  return static_cast<int64_t>(floats * sizeof(float)) + activations_.bytes();
}

}  // namespace shoal
