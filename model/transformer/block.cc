#include "model/transformer/block.h"

#include <algorithm>
#include <cstring>

namespace shoal {

namespace {

// Buffers for more tokens than this make matmuls hardly any faster.
constexpr int64_t kMostRows = 256;
constexpr int64_t kBufferBytes = 32 << 20;

// Queries that attend together: they share each page while it is in the cache.
constexpr int32_t kAttendTile = 16;

// Below these a parallel loop costs more than it gains.
constexpr int64_t kMinRowsPerPart = 8;
constexpr int64_t kMinAttendProducts = 100'000;

// Activations of a matmul that all rows of a part pass over should stay in a core's own cache.
constexpr int64_t kMatMulTileBytes = 192 << 10;

int64_t RowUnits(const kernels::WeightMatrix& weights) {
  return (weights.rows + kernels::kRowUnit - 1) / kernels::kRowUnit;
}

// Floats per row of the buffer that attention and feed-forward take turns with.
int64_t WideRow(const ModelConfig& config) {
  const int64_t attention = int64_t{2} * (config.heads + config.kv_heads) * config.head_dim;
  return std::max(attention, int64_t{2} * config.ffn_dim);
}

int64_t LongestInput(const ModelConfig& config) {
  return std::max<int64_t>({config.model_dim, config.ffn_dim, config.heads * config.head_dim});
}

FormatSet FormatsOf(std::initializer_list<const kernels::WeightMatrix*> matrices) {
  FormatSet formats;
  for (const kernels::WeightMatrix* matrix : matrices) formats.Add(matrix->type);
  return formats;
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
      rope_(config.rope),
      shape_(shape),
      q_dim_(int64_t{config.heads} * config.head_dim),
      kv_dim_(int64_t{config.kv_heads} * config.head_dim),
      activations_(kernels, formats, MaxRows(config) * LongestInput(config)) {
  const auto rows = static_cast<size_t>(MaxRows(config));
  cos_.resize(rows * static_cast<size_t>(rope_.pairs()));
  sin_.resize(cos_.size());
  normed_.resize(rows * static_cast<size_t>(config.model_dim));
  wide_.resize(rows * static_cast<size_t>(WideRow(config)));
  const int64_t max_rows = MaxRows(config);
  q_ = wide_.data();
  attended_ = q_ + max_rows * q_dim_;
  k_ = attended_ + max_rows * q_dim_;
  v_ = k_ + max_rows * kv_dim_;
  gate_ = wide_.data();
  up_ = gate_ + max_rows * config.ffn_dim;
}

template <typename Body>
void BlockRunner::ForEachRow(int64_t rows, Body&& body) {
  pool_.ParallelFor(rows, GrainFor(rows, pool_.threads(), kMinRowsPerPart),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t row = begin; row < end; ++row) body(row);
                    });
}

void BlockRunner::StartBatch(const Batch& batch) {
  CHECK(batch.rows <= MaxRows(config_), "a batch fits the buffers");
  for (const BatchSpan& span : batch.spans) {
    for (int32_t i = 0; i < span.rows; ++i) {
      const int64_t at = int64_t{span.first_row + i} * rope_.pairs();
      rope_.At(int64_t{span.position} + i, cos_.data() + at, sin_.data() + at);
    }
  }
}

void BlockRunner::Run(const LayerWeights& weights, int32_t layer, const Batch& batch,
                      const Batch* outputs, float* x) {
  Normalize(weights.attn_norm, batch.rows, x,
            FormatsOf({&weights.attn_q, &weights.attn_k, &weights.attn_v}));
  ProjectQkv(weights, layer, batch);
  if (outputs != nullptr) KeepRows(batch, *outputs, x);
  const Batch& rest = outputs != nullptr ? *outputs : batch;
  if (rest.rows == 0) return;

  Attend(layer, rest);
  activations_.Start(attended_, q_dim_, FormatsOf({&weights.attn_output}));
  ForEachRow(rest.rows, [&](int64_t row) { activations_.QuantizeRow(row); });
  RunMatMuls({{&weights.attn_output, normed_.data()}}, rest.rows);
  AddProjection(weights.attn_output_bias, rest.rows, x);

  Normalize(weights.ffn_norm, rest.rows, x, FormatsOf({&weights.ffn_gate, &weights.ffn_up}));
  FeedForward(weights, rest.rows);
  AddProjection({}, rest.rows, x);
}

void BlockRunner::Head(const std::vector<float>& output_norm, const kernels::WeightMatrix& head,
                       int32_t rows, const float* x, float* logits) {
  Normalize(output_norm, rows, x, FormatsOf({&head}));
  RunMatMuls({{&head, logits}}, rows);
}

// normed = RmsNorm(x) as the next matmuls' input.
void BlockRunner::Normalize(const std::vector<float>& norm, int64_t rows, const float* x,
                            FormatSet formats) {
  const int64_t dim = config_.model_dim;
  activations_.Start(normed_.data(), dim, formats);
  ForEachRow(rows, [&](int64_t row) {
    kernels_.rms_norm(x + row * dim, norm.data(), dim, config_.norm_epsilon,
                      normed_.data() + row * dim);
    activations_.QuantizeRow(row);
  });
}

// All matrices' rows as one loop, so that small ones do not each wait for the slowest thread.
void BlockRunner::RunMatMuls(std::initializer_list<MatMul> matmuls, int64_t rows) {
  int64_t units = 0;
  for (const MatMul& matmul : matmuls) units += RowUnits(*matmul.weights);
  pool_.ParallelFor(units, GrainFor(units, pool_.threads(), 1), [&](int64_t begin, int64_t end) {
    for (const MatMul& matmul : matmuls) {
      const int64_t count = RowUnits(*matmul.weights);
      if (begin < count && end > 0) {
        MultiplyRows(matmul, std::max<int64_t>(begin, 0) * kernels::kRowUnit,
                     std::min(matmul.weights->rows, end * kernels::kRowUnit), rows);
      }
      begin -= count;
      end -= count;
    }
  });
}

// Weight rows [row_begin, row_end) of one matrix, over tiles of tokens that stay in the cache.
void BlockRunner::MultiplyRows(const MatMul& matmul, int64_t row_begin, int64_t row_end,
                               int64_t rows) const {
  const kernels::WeightMatrix& weights = *matmul.weights;
  const int64_t tile = std::max<int64_t>(kMatMulTileBytes / weights.cols / 8 * 8, 16);
  for (int64_t first = 0; first < rows; first += tile) {
    kernels_.matmul(weights, activations_.View(weights.type, first), std::min(tile, rows - first),
                    row_begin, row_end, matmul.out + first * weights.rows, weights.rows);
  }
}

// q, k and v with biases, norms and angles applied; k and v go to the cache.
void BlockRunner::ProjectQkv(const LayerWeights& weights, int32_t layer, const Batch& batch) {
  RunMatMuls({{&weights.attn_q, q_}, {&weights.attn_k, k_}, {&weights.attn_v, v_}}, batch.rows);
  const auto add_bias = [this](const std::vector<float>& bias, float* row) {
    if (!bias.empty()) kernels_.add(row, bias.data(), static_cast<int64_t>(bias.size()));
  };
  const auto norm_heads = [this](const std::vector<float>& norm, float* row, int32_t heads) {
    if (norm.empty()) return;
    for (int32_t h = 0; h < heads; ++h, row += config_.head_dim) {
      kernels_.rms_norm(row, norm.data(), config_.head_dim, config_.norm_epsilon, row);
    }
  };
  const auto rope =
      config_.rope.layout == RopeLayout::kAdjacent ? kernels_.rope_adjacent : kernels_.rope_halves;
  ForEachRow(batch.rows, [&](int64_t row) {
    float* q = q_ + row * q_dim_;
    float* k = k_ + row * kv_dim_;
    float* v = v_ + row * kv_dim_;
    add_bias(weights.q_bias, q);
    add_bias(weights.k_bias, k);
    add_bias(weights.v_bias, v);
    norm_heads(weights.q_norm, q, config_.heads);
    norm_heads(weights.k_norm, k, config_.kv_heads);
    const float* cos = cos_.data() + row * rope_.pairs();
    const float* sin = sin_.data() + row * rope_.pairs();
    rope(q, cos, sin, config_.heads, config_.head_dim, config_.rope.dim);
    rope(k, cos, sin, config_.kv_heads, config_.head_dim, config_.rope.dim);

    const BatchSpan& span = batch.SpanOf(row);
    const int64_t position = span.position + row - span.first_row;
    kernels_.store_kv(shape_, k, v, span.kv->pages(layer)[position / kernels::kKvPageTokens],
                      static_cast<int32_t>(position % kernels::kKvPageTokens));
  });
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

void BlockRunner::Attend(int32_t layer, const Batch& batch) {
  attend_tasks_.clear();
  int64_t products = 0;
  for (const BatchSpan& span : batch.spans) {
    for (int32_t first = 0; first < span.rows; first += kAttendTile) {
      attend_tasks_.push_back({&span, first, std::min(kAttendTile, span.rows - first)});
    }
    products += int64_t{span.rows} * (span.position + span.rows) * 2 * q_dim_;
  }
  const int64_t items = static_cast<int64_t>(attend_tasks_.size()) * config_.kv_heads;
  const int64_t grain = products < kMinAttendProducts ? items : 1;
  pool_.ParallelFor(items, grain, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const AttendTask& task = attend_tasks_[static_cast<size_t>(item / config_.kv_heads)];
      const int64_t at = (task.span->first_row + task.first) * q_dim_;
      kernels_.attend(shape_, q_ + at, task.rows, int64_t{task.span->position} + task.first,
                      task.span->kv->pages(layer), static_cast<int32_t>(item % config_.kv_heads),
                      attended_ + at);
    }
  });
}

// normed = down * (silu(gate * input) * (up * input)). Each part of the first loop computes the
// same rows of gate and up and joins them while they are in its cache.
void BlockRunner::FeedForward(const LayerWeights& weights, int64_t rows) {
  const int64_t ffn = config_.ffn_dim;
  const int64_t units = RowUnits(weights.ffn_gate);
  pool_.ParallelFor(units, GrainFor(units, pool_.threads(), 1), [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kernels::kRowUnit;
    const int64_t last = std::min(ffn, end * kernels::kRowUnit);
    MultiplyRows({&weights.ffn_gate, gate_}, first, last, rows);
    MultiplyRows({&weights.ffn_up, up_}, first, last, rows);
    for (int64_t row = 0; row < rows; ++row) {
      kernels_.silu_multiply(gate_ + row * ffn + first, up_ + row * ffn + first, last - first);
    }
  });
  activations_.Start(gate_, ffn, FormatsOf({&weights.ffn_down}));
  ForEachRow(rows, [&](int64_t row) { activations_.QuantizeRow(row); });
  RunMatMuls({{&weights.ffn_down, normed_.data()}}, rows);
}

// x += normed + bias
void BlockRunner::AddProjection(const std::vector<float>& bias, int64_t rows, float* x) {
  const int64_t dim = config_.model_dim;
  ForEachRow(rows, [&](int64_t row) {
    float* projected = normed_.data() + row * dim;
    if (!bias.empty()) kernels_.add(projected, bias.data(), dim);
    kernels_.add(x + row * dim, projected, dim);
  });
}

int64_t BlockRunner::buffer_bytes() const {
  const size_t floats = cos_.size() + sin_.size() + normed_.size() + wide_.size();
  return static_cast<int64_t>(floats * sizeof(float)) + activations_.bytes();
}

}  // namespace shoal
