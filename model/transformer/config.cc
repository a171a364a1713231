#include "model/transformer/config.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>
#include <optional>

#include "kernels/kernel_table.h"
#include "kernels/quant_formats.h"

namespace shoal {

namespace {

// What tells the supported families apart.
struct Family {
  std::string_view architecture;
  RopeLayout rope_layout;
  bool qk_norm;
  bool qkv_bias;
};
constexpr std::array<Family, 3> kFamilies = {{
    {"llama", RopeLayout::kAdjacent, false, false},
    {"qwen2", RopeLayout::kHalves, false, true},
    {"qwen3", RopeLayout::kHalves, true, false},
}};

// Each is several times what the largest published dense models use; together they keep every
// product of two of them far inside an int64.
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxModelDim = 1 << 17;
constexpr int64_t kMaxFfnDim = 1 << 19;
constexpr int64_t kMaxHeads = 1024;
constexpr int64_t kMaxVocab = 1 << 22;
constexpr double kMaxRopeBase = 1e12;
constexpr double kMaxRopeFactor = 1e6;

const Family* FindFamily(std::string_view architecture) {
  for (const Family& family : kFamilies) {
    if (family.architecture == architecture) return &family;
  }
  return nullptr;
}

// Reads "<architecture>.<key>" values and checks their ranges.
class KeyReader {
 public:
  KeyReader(const GgufFile& file, std::string architecture)
      : file_(file), architecture_(std::move(architecture)) {}

  std::string Key(std::string_view suffix) const {
    return fmt::format("{}.{}", architecture_, suffix);
  }
  bool Has(std::string_view suffix) const { return file_.Has(Key(suffix)); }

  Result<int32_t> Int(std::string_view suffix, int64_t min, int64_t max) const {
    const std::string key = Key(suffix);
    ASSIGN_OR_RETURN(const int64_t value, file_.Int(key));
    if (value < min || value > max) {
      return InvalidArgument(
          fmt::format("{}: expected {} to {}, the file has {}", key, min, max, value));
    }
    return static_cast<int32_t>(value);
  }
  Result<int32_t> IntOr(std::string_view suffix, int32_t fallback, int64_t min, int64_t max) const {
    if (!Has(suffix)) return fallback;
    return Int(suffix, min, max);
  }

  // A finite number in [min, max].
  Result<double> Float(std::string_view suffix, double min, double max) const {
    const std::string key = Key(suffix);
    ASSIGN_OR_RETURN(const double value, file_.Float(key));
    if (!(value >= min && value <= max)) {
      return InvalidArgument(
          fmt::format("{}: expected {} to {}, the file has {}", key, min, max, value));
    }
    return value;
  }
  Result<double> FloatOr(std::string_view suffix, double fallback, double min, double max) const {
    if (!Has(suffix)) return fallback;
    return Float(suffix, min, max);
  }

 private:
  const GgufFile& file_;
  std::string architecture_;
};

Status ReadHeads(const KeyReader& keys, ModelConfig& config) {
  ASSIGN_OR_RETURN(config.heads, keys.Int("attention.head_count", 1, kMaxHeads));
  ASSIGN_OR_RETURN(config.kv_heads,
                   keys.IntOr("attention.head_count_kv", config.heads, 1, kMaxHeads));
  if (config.heads % config.kv_heads != 0) {
    return InvalidArgument(fmt::format("{}: {} does not divide {}, which is {}",
                                       keys.Key("attention.head_count_kv"), config.kv_heads,
                                       keys.Key("attention.head_count"), config.heads));
  }
  if (keys.Has("attention.key_length")) {
    ASSIGN_OR_RETURN(config.head_dim, keys.Int("attention.key_length", 2, kernels::kMaxHeadDim));
  } else if (config.model_dim % config.heads == 0) {
    config.head_dim = config.model_dim / config.heads;
  } else {
    return InvalidArgument(fmt::format("{}: {} does not divide {}, which is {}",
                                       keys.Key("attention.head_count"), config.heads,
                                       keys.Key("embedding_length"), config.model_dim));
  }
  if (config.head_dim % 2 != 0 || config.head_dim > kernels::kMaxHeadDim) {
    return InvalidArgument(
        fmt::format("{}: expected an even head width of at most {}, the file has {}",
                    keys.Key("attention.key_length"), kernels::kMaxHeadDim, config.head_dim));
  }
  ASSIGN_OR_RETURN(const int32_t value_length, keys.IntOr("attention.value_length", config.head_dim,
                                                          1, std::numeric_limits<int32_t>::max()));
  if (value_length != config.head_dim) {
    return Unimplemented(fmt::format("{} is {} but the head width is {}: only equal are supported",
                                     keys.Key("attention.value_length"), value_length,
                                     config.head_dim));
  }
  ASSIGN_OR_RETURN(const double scale, keys.FloatOr("attention.scale", 0, 0, 1e6));
  config.attention_scale = scale != 0 ? static_cast<float>(scale)
                                      : 1.0f / std::sqrt(static_cast<float>(config.head_dim));
  return OkStatus();
}

Status ReadRopeScaling(const GgufFile& file, const KeyReader& keys, int32_t context_length,
                       RopeConfig& rope) {
  // Files from before the scaling keys have rope.scale_linear; a factor of 0 stands for none.
  const std::string_view factor_key =
      keys.Has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear";
  ASSIGN_OR_RETURN(rope.factor, keys.FloatOr(factor_key, 1, 0, kMaxRopeFactor));
  if (rope.factor == 0) rope.factor = 1;
  const std::string type_key = keys.Key("rope.scaling.type");
  ASSIGN_OR_RETURN(const std::string_view type, file.StringOr(type_key, "linear"));
  if (type == "none" || (type == "linear" && rope.factor == 1)) {
    rope.scaling = RopeScaling::kNone;
    rope.factor = 1;
  } else if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
  } else if (type == "yarn") {
    rope.scaling = RopeScaling::kYarn;
  } else {
    return Unimplemented(fmt::format("{}: '{}' is not supported; supported: none, linear, yarn",
                                     type_key, type.substr(0, 40)));
  }
  ASSIGN_OR_RETURN(rope.original_context,
                   keys.IntOr("rope.scaling.original_context_length", context_length, 1,
                              std::numeric_limits<int32_t>::max()));
  const std::string_view attn_key = keys.Has("rope.scaling.attn_factor")
                                        ? "rope.scaling.attn_factor"
                                        : "rope.scaling.yarn_attn_factor";
  ASSIGN_OR_RETURN(rope.yarn_attn_factor, keys.FloatOr(attn_key, 1, 0, 1e3));
  ASSIGN_OR_RETURN(rope.yarn_ext_factor, keys.FloatOr("rope.scaling.yarn_ext_factor", 1, 0, 1e3));
  ASSIGN_OR_RETURN(rope.yarn_beta_fast, keys.FloatOr("rope.scaling.yarn_beta_fast", 32, 1e-3, 1e6));
  ASSIGN_OR_RETURN(rope.yarn_beta_slow, keys.FloatOr("rope.scaling.yarn_beta_slow", 1, 1e-3, 1e6));
  return OkStatus();
}

Status ReadFrequencyFactors(const GgufFile& file, RopeConfig& rope) {
  const TensorInfo* tensor = file.FindTensor("rope_freqs.weight");
  if (tensor == nullptr) return OkStatus();
  if (tensor->values() != rope.dim / 2) {
    return InvalidArgument(fmt::format("rope_freqs.weight: expected shape [{}], the file has [{}]",
                                       rope.dim / 2, fmt::join(tensor->shape, ", ")));
  }
  rope.frequency_factors.resize(static_cast<size_t>(tensor->values()));
  kernels::DequantizeRow(tensor->type, tensor->bytes.data(), tensor->values(),
                         rope.frequency_factors.data());
  for (float factor : rope.frequency_factors) {
    if (!(factor > 0 && std::isfinite(factor))) {
      return InvalidArgument(
          fmt::format("rope_freqs.weight: expected positive factors, the file has {}", factor));
    }
  }
  return OkStatus();
}

Status ReadRope(const GgufFile& file, const KeyReader& keys, const Family& family,
                ModelConfig& config) {
  RopeConfig& rope = config.rope;
  rope.layout = family.rope_layout;
  ASSIGN_OR_RETURN(rope.dim,
                   keys.IntOr("rope.dimension_count", config.head_dim, 2, config.head_dim));
  if (rope.dim % 2 != 0) {
    return InvalidArgument(fmt::format("{}: expected an even number, the file has {}",
                                       keys.Key("rope.dimension_count"), rope.dim));
  }
  ASSIGN_OR_RETURN(rope.base, keys.FloatOr("rope.freq_base", 10000, 1 + 1e-6, kMaxRopeBase));
  RETURN_IF_ERROR(ReadRopeScaling(file, keys, config.context_length, rope));
  return ReadFrequencyFactors(file, rope);
}

// The metadata against the tensors that settle it.
Status CheckTensors(const GgufFile& file, const KeyReader& keys, ModelConfig& config) {
  const TensorInfo* embedding = file.FindTensor("token_embd.weight");
  if (embedding == nullptr) return NotFound("the file has no tensor token_embd.weight");
  if (embedding->cols() != config.model_dim) {
    return InvalidArgument(fmt::format("token_embd.weight has rows of {} values, but {} is {}",
                                       embedding->cols(), keys.Key("embedding_length"),
                                       config.model_dim));
  }
  if (embedding->rows() < 1 || embedding->rows() > kMaxVocab) {
    return InvalidArgument(fmt::format("token_embd.weight: expected 1 to {} rows, the file has {}",
                                       kMaxVocab, embedding->rows()));
  }
  config.vocab_size = static_cast<int32_t>(embedding->rows());
  config.tied_embeddings = file.FindTensor("output.weight") == nullptr;
  const std::string last = fmt::format("blk.{}.attn_norm.weight", config.layers - 1);
  if (file.FindTensor(last) == nullptr) {
    return InvalidArgument(fmt::format("{} is {}, but the file has no tensor {}",
                                       keys.Key("block_count"), config.layers, last));
  }
  return OkStatus();
}

}  // namespace

std::string SupportedArchitectures() {
  std::string names;
  for (const Family& family : kFamilies) {
    if (!names.empty()) names += ", ";
    names += family.architecture;
  }
  return names;
}

Result<ModelConfig> ReadModelConfig(const GgufFile& file) {
  ASSIGN_OR_RETURN(const std::string_view architecture, file.String("general.architecture"));
  const Family* family = FindFamily(architecture);
  if (family == nullptr) {
    return Unimplemented(fmt::format("general.architecture: '{}' is not supported; supported: {}",
                                     architecture.substr(0, 40), SupportedArchitectures()));
  }
  ModelConfig config;
  config.architecture = std::string(architecture);
  config.qk_norm = family->qk_norm;
  config.qkv_bias = family->qkv_bias;
  ASSIGN_OR_RETURN(const std::string_view name, file.StringOr("general.name", ""));
  config.name = std::string(name);

  const KeyReader keys(file, config.architecture);
  ASSIGN_OR_RETURN(const int64_t experts, file.IntOr(keys.Key("expert_count"), 0));
  if (experts != 0) {
    return Unimplemented(fmt::format("{}: mixtures of experts are not supported, the file has {}",
                                     keys.Key("expert_count"), experts));
  }
  ASSIGN_OR_RETURN(config.layers, keys.Int("block_count", 1, kMaxLayers));
  ASSIGN_OR_RETURN(config.model_dim, keys.Int("embedding_length", 1, kMaxModelDim));
  ASSIGN_OR_RETURN(config.ffn_dim, keys.Int("feed_forward_length", 1, kMaxFfnDim));
  ASSIGN_OR_RETURN(config.context_length,
                   keys.Int("context_length", 1, std::numeric_limits<int32_t>::max()));
  ASSIGN_OR_RETURN(const double epsilon, keys.Float("attention.layer_norm_rms_epsilon", 0, 1));
  config.norm_epsilon = static_cast<float>(epsilon);
  RETURN_IF_ERROR(ReadHeads(keys, config));
  RETURN_IF_ERROR(ReadRope(file, keys, *family, config));
  RETURN_IF_ERROR(CheckTensors(file, keys, config));
  return config;
}

}  // namespace shoal
