#include "model/transformer/rope_config.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "kernels/quant_formats.h"

namespace shoal {

namespace {

constexpr double kMaxRopeBase = 1e12;
constexpr double kMaxRopeFactor = 1e6;
constexpr int32_t kAnyLength = std::numeric_limits<int32_t>::max();

constexpr const char* kShortFactors = "rope_factors_short.weight";
constexpr const char* kLongFactors = "rope_factors_long.weight";

Status ReadScalingType(const KeyReader& keys, RopeConfig& rope) {
  const std::string type_key = keys.Key("rope.scaling.type");
  ASSIGN_OR_RETURN(const std::string_view type, keys.file().StringOr(type_key, "linear"));
  // What longrope does is in its factors.
  const bool longrope = type == "longrope" && keys.file().FindTensor(kLongFactors) != nullptr;
  if (type == "yarn") {
    rope.scaling = RopeScaling::kYarn;
  } else if (type == "none" || ((type == "linear" || longrope) && rope.factor == 1)) {
    rope.scaling = RopeScaling::kNone;
    rope.factor = 1;
  } else if (type == "linear" || longrope) {
    rope.scaling = RopeScaling::kLinear;
  } else {
    return Unimplemented(fmt::format(
        "{}: '{}' is not supported; supported: none, linear, yarn, and longrope with {}", type_key,
        type.substr(0, 40), kLongFactors));
  }
  return OkStatus();
}

Status ReadScaling(const KeyReader& keys, int32_t context_length, RopeConfig& rope) {
  // Files from before the scaling keys have rope.scale_linear; a factor of 0 stands for none.
  const std::string_view factor_key =
      keys.Has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear";
  ASSIGN_OR_RETURN(rope.factor, keys.FloatOr(factor_key, 1, 0, kMaxRopeFactor));
  if (rope.factor == 0) rope.factor = 1;
  RETURN_IF_ERROR(ReadScalingType(keys, rope));
  ASSIGN_OR_RETURN(rope.original_context, keys.IntOr("rope.scaling.original_context_length",
                                                     context_length, 1, kAnyLength));
  const std::string_view attn_key = keys.Has("rope.scaling.attn_factor")
                                        ? "rope.scaling.attn_factor"
                                        : "rope.scaling.yarn_attn_factor";
  ASSIGN_OR_RETURN(rope.attn_factor, keys.FloatOr(attn_key, 1, 0, 1e3));
  ASSIGN_OR_RETURN(rope.yarn_ext_factor, keys.FloatOr("rope.scaling.yarn_ext_factor", 1, 0, 1e3));
  ASSIGN_OR_RETURN(rope.yarn_beta_fast, keys.FloatOr("rope.scaling.yarn_beta_fast", 32, 1e-3, 1e6));
  ASSIGN_OR_RETURN(rope.yarn_beta_slow, keys.FloatOr("rope.scaling.yarn_beta_slow", 1, 1e-3, 1e6));
  return OkStatus();
}

// The tensor's [dim / 2] factors; none if the file has no such tensor.
Result<std::vector<float>> ReadFactors(const GgufFile& file, const char* name, int32_t dim) {
  std::vector<float> factors;
  const TensorInfo* tensor = file.FindTensor(name);
  if (tensor == nullptr) return factors;
  if (tensor->values() != dim / 2 || tensor->bytes.empty()) {
    return InvalidArgument(fmt::format("{}: expected shape [{}], the file has [{}]", name, dim / 2,
                                       fmt::join(tensor->shape, ", ")));
  }
  factors.resize(static_cast<size_t>(tensor->values()));
  kernels::DequantizeRow(tensor->type, tensor->bytes.data(), tensor->values(), factors.data());
  for (float factor : factors) {
    if (!(factor > 0 && std::isfinite(factor))) {
      return InvalidArgument(
          fmt::format("{}: expected positive factors, the file has {}", name, factor));
    }
  }
  return factors;
}

Status ReadFrequencyFactors(const GgufFile& file, RopeConfig& rope) {
  ASSIGN_OR_RETURN(rope.long_frequency_factors, ReadFactors(file, kLongFactors, rope.dim));
  const bool has_short = file.FindTensor(kShortFactors) != nullptr;
  if (has_short == rope.long_frequency_factors.empty()) {
    return InvalidArgument(fmt::format("the file has {} without {}",
                                       has_short ? kShortFactors : kLongFactors,
                                       has_short ? kLongFactors : kShortFactors));
  }
  const char* name = has_short ? kShortFactors : "rope_freqs.weight";
  ASSIGN_OR_RETURN(rope.frequency_factors, ReadFactors(file, name, rope.dim));
  return OkStatus();
}

}  // namespace

Status ReadRope(const KeyReader& keys, ModelConfig& config) {
  RopeConfig& rope = config.rope;
  rope.layout = config.family.rope_layout;
  ASSIGN_OR_RETURN(rope.dim,
                   keys.IntOr("rope.dimension_count", config.head_dim, 2, config.head_dim));
  if (rope.dim % 2 != 0) {
    return InvalidArgument(fmt::format("{}: expected an even number, the file has {}",
                                       keys.Key("rope.dimension_count"), rope.dim));
  }
  ASSIGN_OR_RETURN(rope.base, keys.FloatOr("rope.freq_base", 10000, 1 + 1e-6, kMaxRopeBase));
  RETURN_IF_ERROR(ReadScaling(keys, config.context_length, rope));
  RETURN_IF_ERROR(ReadFrequencyFactors(keys.file(), rope));
  if (config.family.window_rope != WindowRope::kModel) {
    RopeConfig& window = config.window_rope.emplace();
    window.layout = rope.layout;
    window.dim = rope.dim;
    const double base = config.family.window_rope == WindowRope::kUnscaled ? rope.base : 10000;
    ASSIGN_OR_RETURN(window.base, keys.FloatOr("rope.freq_base_swa", base, 1 + 1e-6, kMaxRopeBase));
  }
  return OkStatus();
}

}  // namespace shoal
