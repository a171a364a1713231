#include "node/layer_bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "node/timing.h"

namespace shoal {

namespace {

// Every byte of the weights: as a block's f16 or f32 scale it is a small normal number, so that no
// arithmetic on it is slowed down by what a model never has.
constexpr std::byte kWeightByte{0x11};
constexpr float kInput = 0.5F;
constexpr int64_t kAlignment = 64;                    // of packed weights
constexpr int64_t kKvBudgetBytes = int64_t{1} << 40;  // pages are taken as they are used
constexpr auto kRest = std::chrono::milliseconds(2);  // longer than workers spin

int32_t RoundUp(int64_t value, int64_t unit) {
  return static_cast<int32_t>((value + unit - 1) / unit * unit);
}

struct MatrixDims {
  int64_t rows;
  int64_t cols;
};

// q, k, v, output, gate, up, down.
std::vector<MatrixDims> MatricesOf(const LayerDims& dims) {
  const int64_t q_dim = int64_t{dims.heads} * dims.head_dim;
  const int64_t kv_dim = int64_t{dims.kv_heads} * dims.head_dim;
  return {{q_dim, dims.model_dim},        {kv_dim, dims.model_dim},
          {kv_dim, dims.model_dim},       {dims.model_dim, q_dim},
          {dims.ffn_dim, dims.model_dim}, {dims.ffn_dim, dims.model_dim},
          {dims.model_dim, dims.ffn_dim}};
}

ModelConfig ConfigOf(const LayerDims& dims, int32_t layers) {
  ModelConfig config;
  config.layers = layers;
  config.model_dim = dims.model_dim;
  config.heads = dims.heads;
  config.kv_heads = dims.kv_heads;
  config.head_dim = dims.head_dim;
  config.ffn_dim = dims.ffn_dim;
  config.attention_scale = 1 / std::sqrt(static_cast<float>(dims.head_dim));
  config.rope.dim = dims.head_dim;
  config.layer_configs.resize(static_cast<size_t>(layers));
  return config;
}

FormatSet FormatsOf(TensorType type) {
  FormatSet formats;
  formats.Add(type);
  return formats;
}

LayerDims WholeBlocks(LayerDims dims, TensorType type) {
  const int32_t block = InfoOf(type).block_values;
  dims.model_dim = RoundUp(dims.model_dim, block);
  dims.ffn_dim = RoundUp(dims.ffn_dim, block);
  const int32_t group = dims.heads / dims.kv_heads;
  while (dims.kv_heads * group * dims.head_dim % block != 0) ++dims.kv_heads;
  dims.heads = dims.kv_heads * group;
  return dims;
}

}  // namespace

int64_t LayerBytes(const LayerDims& dims, TensorType type) {
  int64_t bytes = 0;
  for (const MatrixDims& matrix : MatricesOf(dims)) {
    bytes += matrix.rows * RowBytes(type, matrix.cols);
  }
  return bytes;
}

int64_t ElementwiseValues(const LayerDims& dims) {
  int64_t values = 0;
  for (const MatrixDims& matrix : MatricesOf(dims)) values += matrix.rows + matrix.cols;
  return values;
}

int64_t AttentionMacs(const LayerDims& dims) { return int64_t{2} * dims.heads * dims.head_dim; }

LayerDims FitDims(const LayerDims& dims, TensorType type, int64_t most_bytes) {
  LayerDims fit = WholeBlocks(dims, type);
  while (LayerBytes(fit, type) > most_bytes) {
    const LayerDims before = fit;
    if (fit.ffn_dim > fit.model_dim) {
      fit.ffn_dim /= 2;
    } else {
      fit.model_dim /= 2;
      fit.ffn_dim /= 2;
      if (fit.kv_heads > 1) {
        fit.heads = fit.heads / fit.kv_heads * (fit.kv_heads / 2);
        fit.kv_heads /= 2;
      }
    }
    fit = WholeBlocks(fit, type);
    if (fit == before) break;
  }
  return fit;
}

Result<std::unique_ptr<LayerBench>> LayerBench::Make(const kernels::KernelTable& kernels,
                                                     ThreadPool& pool, const LayerDims& dims,
                                                     TensorType type, int64_t weight_bytes,
                                                     const Clock& clock) {
  const LayerDims fit = FitDims(dims, type, weight_bytes);
  const auto layers = static_cast<int32_t>(
      std::max<int64_t>(1, weight_bytes / std::max<int64_t>(1, LayerBytes(fit, type))));
  constexpr int32_t kMostLayers = 64;
  std::unique_ptr<LayerBench> bench(
      new LayerBench(kernels, pool, fit, type, std::min(layers, kMostLayers), clock));
  RETURN_IF_ERROR(bench->AllocateWeights());
  return bench;
}

LayerBench::LayerBench(const kernels::KernelTable& kernels, ThreadPool& pool, const LayerDims& dims,
                       TensorType type, int32_t layers, const Clock& clock)
    : kernels_(kernels),
      dims_(dims),
      type_(type),
      clock_(clock),
      config_(ConfigOf(dims, layers)),
      layers_(static_cast<size_t>(layers)),
      cache_(AttentionShapeOf(config_, dims.kv_type), layers, kKvBudgetBytes),
      runner_(config_, AttentionShapeOf(config_, dims.kv_type), kernels, pool, FormatsOf(type)),
      x_(static_cast<size_t>(BlockRunner::MaxRows(config_)) * static_cast<size_t>(dims.model_dim)) {
}

Status LayerBench::AllocateWeights() {
  const std::vector<MatrixDims> matrices = MatricesOf(dims_);
  const auto bytes_of = [this](const MatrixDims& matrix) {
    const int64_t packed = kernels_.packed_bytes(type_, matrix.rows, matrix.cols);
    const int64_t bytes = packed > 0 ? packed : matrix.rows * RowBytes(type_, matrix.cols);
    return int64_t{RoundUp(bytes, kAlignment)};
  };
  int64_t layer_bytes = 0;
  for (const MatrixDims& matrix : matrices) layer_bytes += bytes_of(matrix);
  ASSIGN_OR_RETURN(weights_, AlignedBuffer::Make(layer_bytes * layers()));
  std::fill_n(weights_.data(), weights_.bytes(), kWeightByte);
  const std::byte* next = weights_.data();
  for (LayerWeights& layer : layers_) {
    layer.attn_norm.weight.assign(static_cast<size_t>(dims_.model_dim), 1.0F);
    layer.ffn_norm = layer.attn_norm;
    layer.ffn.resize(1);
    kernels::WeightMatrix* const places[] = {
        &layer.attn_q,      &layer.attn_k,    &layer.attn_v,     &layer.attn_output,
        &layer.ffn[0].gate, &layer.ffn[0].up, &layer.ffn[0].down};
    for (size_t i = 0; i < matrices.size(); ++i) {
      const auto [rows, cols] = matrices[i];
      *places[i] = {type_, rows, cols, next, kernels_.packed_bytes(type_, rows, cols) > 0};
      next += bytes_of(matrices[i]);
    }
  }
  return OkStatus();
}

Result<std::vector<KvSession>> LayerBench::OpenSessions(const LayerStep& step) {
  const int32_t count = step.one_session ? 1 : step.tokens;
  const int32_t positions = step.position + (step.one_session ? step.tokens : 1);
  std::vector<KvSession> sessions;
  for (int32_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(KvSession session, cache_.Admit(positions));
    RETURN_IF_ERROR(session.Grow(positions));
    sessions.push_back(std::move(session));
  }
  return sessions;
}

void LayerBench::Pass(const LayerStep& step, const std::vector<KvSession>& sessions,
                      int32_t layers) {
  const int32_t max_rows = BlockRunner::MaxRows(config_);
  Batch batch;
  for (int32_t first = 0; first < step.tokens; first += max_rows) {
    const int32_t rows = std::min(max_rows, step.tokens - first);
    batch.Clear();
    if (step.one_session) {
      batch.Add(&sessions[0], step.position + first, rows);
    } else {
      for (int32_t i = first; i < first + rows; ++i) {
        batch.Add(&sessions[static_cast<size_t>(i)], step.position, 1);
      }
    }
    std::fill_n(x_.data(), static_cast<size_t>(rows) * static_cast<size_t>(dims_.model_dim),
                kInput);
    runner_.StartBatch(batch);
    for (int32_t layer = 0; layer < layers; ++layer) {
      runner_.Run(layers_[static_cast<size_t>(layer)], layer, batch, nullptr, x_.data());
    }
  }
}

Result<double> LayerBench::SecondsPerLayer(const LayerStep& step, int32_t layers, double budget_s) {
  ASSIGN_OR_RETURN(const std::vector<KvSession> sessions, OpenSessions(step));
  return MeanSeconds(clock_, budget_s, [&] { Pass(step, sessions, layers); }) / layers;
}

double LayerBench::ProductSeconds(double budget_s) {
  std::vector<float> out(static_cast<size_t>(dims_.model_dim));
  std::fill_n(x_.data(), dims_.model_dim, kInput);
  return MeanSeconds(clock_, budget_s, [&] {
    runner_.Head(layers_[0].attn_norm, layers_[0].attn_output, 1, x_.data(), out.data());
  });
}

Result<double> LayerBench::WakeSeconds(int32_t layers, int rounds) {
  const LayerStep step;
  ASSIGN_OR_RETURN(const std::vector<KvSession> sessions, OpenSessions(step));
  std::vector<double> extra;
  for (int i = 0; i < rounds; ++i) {
    std::this_thread::sleep_for(kRest);
    const double rested_s = SecondsOf(clock_, [&] { Pass(step, sessions, layers); });
    extra.push_back(rested_s - SecondsOf(clock_, [&] { Pass(step, sessions, layers); }));
  }
  return Median(std::move(extra));
}

}  // namespace shoal
