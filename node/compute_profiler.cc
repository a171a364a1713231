#include "node/compute_profiler.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "model/gguf/kv_type.h"
#include "node/layer_bench.h"
#include "node/timing.h"

namespace shoal {

namespace {

constexpr int32_t kBatches[] = {1, 2, 4, 8, 16, 32, 64, 128, 256};
constexpr int32_t kMostSessions = 32;  // beyond these, a batch is one session's prompt
constexpr int32_t kMatrices = 7;       // of a layer of LayerDims
constexpr int32_t kLoops = 4;          // that compute them: qkv, output, gate and up, down
constexpr int32_t kCachedPositions = 1024;
constexpr int32_t kPromptTokens = 64;
constexpr int32_t kMostDim = 1 << 19;
constexpr int32_t kMostHeads = 1024;
constexpr int kWakeRounds = 15;
constexpr int32_t kWakeLayers = 4;
// A batch that takes this many budgets is the last: larger ones follow in proportion.
constexpr double kMostBudgets = 8;
// What is measured as the rest of something is never less than this share of it: where it seems to
// be, the machine was disturbed.
constexpr double kLeastShare = 0.1;
constexpr float kEpsilon = 1e-5F;
constexpr double kFastest = 1e15;  // per second: of what took no measurable time

double Rate(double amount, double seconds) {
  return seconds > amount / kFastest ? amount / seconds : kFastest;
}

// Of each figure by itself; of each type, the batches that all rounds have measured.
ComputeProfile MedianOf(const std::vector<ComputeProfile>& rounds) {
  ComputeProfile median = rounds.front();
  const auto take = [&](auto figure) {
    std::vector<double> values;
    for (const ComputeProfile& round : rounds) values.push_back(figure(round));
    return Median(std::move(values));
  };
  for (double ComputeProfile::*figure :
       {&ComputeProfile::attention_decode_macs_per_s, &ComputeProfile::attention_prefill_macs_per_s,
        &ComputeProfile::elementwise_values_per_s, &ComputeProfile::matrix_s,
        &ComputeProfile::layer_s, &ComputeProfile::step_s}) {
    median.*figure = take([&](const ComputeProfile& round) { return round.*figure; });
  }
  for (size_t type = 0; type < median.types.size(); ++type) {
    std::vector<BatchRate>& batches = median.types[type].batches;
    for (const ComputeProfile& round : rounds) {
      batches.resize(std::min(batches.size(), round.types[type].batches.size()));
    }
    for (size_t i = 0; i < batches.size(); ++i) {
      batches[i].bytes_per_s = take(
          [&](const ComputeProfile& round) { return round.types[type].batches[i].bytes_per_s; });
    }
  }
  return median;
}

class Measurement {
 public:
  Measurement(const kernels::KernelTable& kernels, ThreadPool& pool,
              const ComputeProfileOptions& options, const Clock& clock,
              const std::function<bool(int32_t, int32_t)>& progress)
      : kernels_(kernels), pool_(pool), options_(options), clock_(clock), progress_(progress) {}

  Result<ComputeProfile> Run() {
    total_ = options_.rounds * (static_cast<int32_t>(options_.types.size()) + 2);
    std::vector<ComputeProfile> rounds;
    for (int32_t round = 0; round < options_.rounds; ++round) {
      profile_ = {};
      RETURN_IF_ERROR(RunOnce());
      rounds.push_back(std::move(profile_));
    }
    return MedianOf(rounds);
  }

 private:
  Status RunOnce() {
    RETURN_IF_ERROR(Advance());
    RETURN_IF_ERROR(MeasureOverheads());
    RETURN_IF_ERROR(Advance());
    RETURN_IF_ERROR(MeasureAttention());
    RETURN_IF_ERROR(MeasureStep());
    for (const TensorType type : options_.types) {
      RETURN_IF_ERROR(Advance());
      RETURN_IF_ERROR(MeasureType(type));
    }
    return OkStatus();
  }
  Status Advance() {
    return progress_(done_++, total_) ? OkStatus() : Cancelled("the measurement was given up");
  }
  Result<std::unique_ptr<LayerBench>> MakeBench(const LayerDims& dims, TensorType type) {
    return LayerBench::Make(kernels_, pool_, dims, type, options_.weight_bytes, clock_);
  }
  Status MeasureOverheads();
  Status MeasureAttention();
  Status MeasureStep();
  Status MeasureType(TensorType type);
  double ElementwiseSeconds() const;
  // Of a layer, beyond its weights.
  double OtherSeconds(const LayerBench& bench, const LayerStep& step) const;

  const kernels::KernelTable& kernels_;
  ThreadPool& pool_;
  const ComputeProfileOptions& options_;
  const Clock& clock_;
  const std::function<bool(int32_t, int32_t)>& progress_;
  ComputeProfile profile_;
  int32_t done_ = 0;
  int32_t total_ = 0;
};

// A layer's seven matrices are computed in four parallel loops; what else a layer costs however
// small it is is its own.
Status Measurement::MeasureOverheads() {
  constexpr LayerDims kTiny = {64, 1, 1, 64, 64, TensorType::kF16};
  constexpr int32_t kTinyLayers = 32;
  ASSIGN_OR_RETURN(const std::unique_ptr<LayerBench> bench,
                   LayerBench::Make(kernels_, pool_, kTiny, TensorType::kQ8_0,
                                    kTinyLayers * LayerBytes(kTiny, TensorType::kQ8_0), clock_));
  ASSIGN_OR_RETURN(const double layer_s,
                   bench->SecondsPerLayer({}, bench->layers(), options_.budget_s));
  const double loops_s = kLoops * bench->ProductSeconds(options_.budget_s);
  profile_.matrix_s = std::min(loops_s, layer_s) / kMatrices;
  profile_.layer_s = layer_s - kMatrices * profile_.matrix_s;
  return OkStatus();
}

// On layers as narrow as they can be, so that attention is most of what they do. Of Q8_0: attention
// does not depend on the weights' type.
Status Measurement::MeasureAttention() {
  constexpr int32_t kNarrow = 256;
  constexpr int32_t kLayers = 16;  // whose caches are read one after the other, as a stage's are
  LayerDims dims = options_.dims;
  dims.model_dim = std::min(dims.model_dim, kNarrow);
  dims.ffn_dim = std::min(dims.ffn_dim, kNarrow);
  dims = FitDims(dims, TensorType::kQ8_0, options_.weight_bytes);
  const int64_t weight_bytes =
      std::min(options_.weight_bytes, kLayers * LayerBytes(dims, TensorType::kQ8_0));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<LayerBench> bench,
      LayerBench::Make(kernels_, pool_, dims, TensorType::kQ8_0, weight_bytes, clock_));
  const auto rate = [&](LayerStep step) -> Result<double> {
    const int32_t layers = step.one_session ? 1 : bench->layers();
    ASSIGN_OR_RETURN(const double without_s,
                     bench->SecondsPerLayer(step, layers, options_.budget_s));
    step.position = kCachedPositions;
    ASSIGN_OR_RETURN(const double with_s,
                     bench->SecondsPerLayer(step, layers, 2 * options_.budget_s));
    const double macs =
        static_cast<double>(AttentionMacs(bench->dims())) * step.tokens * kCachedPositions;
    return Rate(macs, std::max(with_s - without_s, kLeastShare * with_s));
  };
  ASSIGN_OR_RETURN(profile_.attention_decode_macs_per_s, rate({}));
  ASSIGN_OR_RETURN(profile_.attention_prefill_macs_per_s,
                   rate({.tokens = kPromptTokens, .one_session = true}));
  const auto values = static_cast<double>(ElementwiseValues(options_.dims));
  profile_.elementwise_values_per_s = Rate(values * pool_.threads(), ElementwiseSeconds());
  return OkStatus();
}

// A step through layers as they are, after a rest.
Status Measurement::MeasureStep() {
  const TensorType type = options_.types.empty() ? TensorType::kQ8_0 : options_.types.front();
  ASSIGN_OR_RETURN(const std::unique_ptr<LayerBench> bench, MakeBench(options_.dims, type));
  ASSIGN_OR_RETURN(const double wake_s,
                   bench->WakeSeconds(std::min(kWakeLayers, bench->layers()), kWakeRounds));
  profile_.step_s = std::max(0.0, wake_s);
  return OkStatus();
}

// What a layer does to one token besides matrix products and attention, on one thread.
double Measurement::ElementwiseSeconds() const {
  constexpr int64_t kBlock = 256;
  const LayerDims& dims = options_.dims;
  const auto whole = [](int64_t n) { return (n + kBlock - 1) / kBlock * kBlock; };
  const int64_t dim = whole(dims.model_dim);
  const int64_t ffn_dim = whole(dims.ffn_dim);
  const int64_t q_dim = whole(int64_t{dims.heads} * dims.head_dim);
  const auto widest = static_cast<size_t>(std::max({dim, ffn_dim, q_dim}));
  std::vector<float> x(widest, 0.5F), y(widest, 1.0F), scales(widest), scaled_sums(widest);
  std::vector<int8_t> values(widest);
  std::vector<int32_t> sums(widest);
  const auto quantize = [&](int64_t n) {
    kernels_.quantize_by_32(x.data(), n, values.data(), scales.data(), sums.data(),
                            scaled_sums.data());
  };
  return MeanSeconds(clock_, options_.budget_s, [&] {
    for (int half = 0; half < 2; ++half) {
      kernels_.rms_norm(x.data(), y.data(), dim, kEpsilon, x.data());
      quantize(dim);
      kernels_.add(x.data(), y.data(), dim);
    }
    kernels_.rope_adjacent(x.data(), y.data(), y.data(), dims.heads, dims.head_dim, dims.head_dim);
    quantize(q_dim);
    kernels_.silu_multiply(x.data(), y.data(), ffn_dim);
    quantize(ffn_dim);
  });
}

double Measurement::OtherSeconds(const LayerBench& bench, const LayerStep& step) const {
  const double positions = step.one_session ? (step.tokens + 1) / 2.0 : 1;
  const double attention_rate = step.one_session ? profile_.attention_prefill_macs_per_s
                                                 : profile_.attention_decode_macs_per_s;
  return profile_.layer_s + kMatrices * profile_.matrix_s +
         step.tokens * positions * static_cast<double>(AttentionMacs(bench.dims())) /
             attention_rate +
         step.tokens * static_cast<double>(ElementwiseValues(bench.dims())) /
             profile_.elementwise_values_per_s;
}

Status Measurement::MeasureType(TensorType type) {
  ASSIGN_OR_RETURN(const std::unique_ptr<LayerBench> bench, MakeBench(options_.dims, type));
  TypeRate rate = {type, {}};
  for (const int32_t tokens : kBatches) {
    if (tokens > options_.most_tokens) break;
    const LayerStep step = {.tokens = tokens, .one_session = tokens > kMostSessions};
    // Few tokens are bound by memory, so pass over all of it; many are not.
    const int32_t layers = std::clamp(4 * bench->layers() / tokens, 1, bench->layers());
    ASSIGN_OR_RETURN(const double layer_s, bench->SecondsPerLayer(step, layers, options_.budget_s));
    const double weights_s = std::max(layer_s - OtherSeconds(*bench, step), kLeastShare * layer_s);
    rate.batches.push_back({tokens, Rate(static_cast<double>(bench->layer_bytes()), weights_s)});
    if (layer_s * layers > kMostBudgets * options_.budget_s) break;
  }
  profile_.types.push_back(std::move(rate));
  return OkStatus();
}

}  // namespace

std::vector<TensorType> CommonTypes() {
  return {TensorType::kF32,  TensorType::kF16,  TensorType::kQ8_0, TensorType::kQ4_0,
          TensorType::kQ4_1, TensorType::kQ4_K, TensorType::kQ5_K, TensorType::kQ6_K};
}

Result<ComputeProfile> MeasureCompute(const kernels::KernelTable& kernels, ThreadPool& pool,
                                      const ComputeProfileOptions& options, const Clock& clock,
                                      const std::function<bool(int32_t, int32_t)>& progress) {
  RETURN_IF_ERROR(CheckLayerDims(options.dims));
  return Measurement(kernels, pool, options, clock, progress).Run();
}

Status CheckLayerDims(const LayerDims& dims) {
  const auto check = [](const char* what, int32_t value, int32_t most) -> Status {
    if (value >= 1 && value <= most) return OkStatus();
    return InvalidArgument(fmt::format("{} is {}: expected 1 to {}", what, value, most));
  };
  RETURN_IF_ERROR(check("model_dim", dims.model_dim, kMostDim));
  RETURN_IF_ERROR(check("ffn_dim", dims.ffn_dim, kMostDim));
  RETURN_IF_ERROR(check("heads", dims.heads, kMostHeads));
  RETURN_IF_ERROR(check("kv_heads", dims.kv_heads, dims.heads));
  RETURN_IF_ERROR(check("head_dim", dims.head_dim, kernels::kMaxHeadDim));
  if (dims.heads % dims.kv_heads != 0) {
    return InvalidArgument(
        fmt::format("kv_heads {} does not divide heads {}", dims.kv_heads, dims.heads));
  }
  if (dims.head_dim % 2 != 0) {
    return InvalidArgument(fmt::format("head_dim is {}: it must be even", dims.head_dim));
  }
  if (!IsKvType(dims.kv_type)) {
    return InvalidArgument(
        fmt::format("kv_type {}: expected F16, F32 or Q8_0", InfoOf(dims.kv_type).name));
  }
  return OkStatus();
}

}  // namespace shoal
