#include "model/transformer/config.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "kernels/kernel_table.h"
#include "model/gguf/sliding_window.h"
#include "model/transformer/key_reader.h"
#include "model/transformer/rope_config.h"

namespace shoal {

namespace {

// Sources: the models' papers and published code, and llama.cpp for how their GGUF files say it.
constexpr Family kFamilies[] = {
    {.architecture = "llama",  // mixtral too
     .rope_layout = RopeLayout::kAdjacent,
     .experts = Experts::kPossible},
    {.architecture = "qwen2", .qkv_bias = true},
    {.architecture = "qwen3", .qk_norm = QkNorm::kHeads},
    {.architecture = "qwen3moe", .qk_norm = QkNorm::kHeads, .experts = Experts::kAlways},
    {.architecture = "gemma2",
     .norms = Norms::kBoth,
     .activation = Activation::kGelu,
     .soft_caps = true,
     .embedding_by_width = true,
     .window_required = true,
     .width_scaled_layers = 46},
    {.architecture = "gemma3",
     .qk_norm = QkNorm::kHeads,
     .norms = Norms::kBoth,
     .activation = Activation::kGelu,
     .embedding_by_width = true,
     .window_required = true,
     .window_rope = WindowRope::kBase10000,
     .width_scaled_layers = 62},
    {.architecture = "phi3", .fused_gate_up = true},
    {.architecture = "gpt-oss",
     .qkv_bias = true,
     .activation = Activation::kClampedSwiglu,
     .experts = Experts::kAlways,
     .expert_biases = true,
     .attention_sinks = true,
     .window_required = true,
     .ffn_norm_tensor = "post_attention_norm"},
    {.architecture = "smollm3", .rope_layout = RopeLayout::kAdjacent, .no_rope_period = 4},
    {.architecture = "granite", .rope_layout = RopeLayout::kAdjacent, .scales = true},
    {.architecture = "olmo2",  // OLMo 3, with windows, too
     .qk_norm = QkNorm::kRows,
     .norms = Norms::kAfter,
     .window_rope = WindowRope::kUnscaled},
    {.architecture = "starcoder2",
     .qkv_bias = true,
     .layer_norm = true,
     .activation = Activation::kGelu,
     .gated = false},
};

// Each is several times what the largest published dense models use; together they keep every
// product of two of them far inside an int64.
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxModelDim = 1 << 17;
constexpr int64_t kMaxFfnDim = 1 << 19;
constexpr int64_t kMaxHeads = 1024;
constexpr int64_t kMaxVocab = 1 << 22;
constexpr int64_t kMaxExperts = 1 << 12;
constexpr double kMaxScale = 1e6;

const Family* FindFamily(std::string_view architecture) {
  for (const Family& family : kFamilies) {
    if (family.architecture == architecture) return &family;
  }
  return nullptr;
}

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
  ASSIGN_OR_RETURN(const double scale, keys.FloatOr("attention.scale", 0, 0, kMaxScale));
  const bool by_width = config.layers == config.family.width_scaled_layers;
  const int32_t width = by_width ? config.model_dim / config.heads : config.head_dim;
  config.attention_scale =
      scale != 0 ? static_cast<float>(scale) : 1.0f / std::sqrt(static_cast<float>(width));
  return OkStatus();
}

// How wide feed-forward is, and how many of it there are.
Status ReadFeedForward(const KeyReader& keys, ModelConfig& config) {
  ASSIGN_OR_RETURN(config.experts, keys.IntOr("expert_count", 0, 0, kMaxExperts));
  const Experts expected = config.family.experts;
  if (config.experts != 0 && expected == Experts::kNone) {
    return Unimplemented(
        fmt::format("{}: {} models with experts are not supported, the file has {}",
                    keys.Key("expert_count"), config.architecture, config.experts));
  }
  if (config.experts == 0 && expected == Experts::kAlways) {
    return InvalidArgument(
        fmt::format("{}: expected 1 to {}, the file has 0", keys.Key("expert_count"), kMaxExperts));
  }
  const bool own_width = config.experts != 0 && keys.Has("expert_feed_forward_length");
  ASSIGN_OR_RETURN(
      config.ffn_dim,
      keys.Int(own_width ? "expert_feed_forward_length" : "feed_forward_length", 1, kMaxFfnDim));
  if (config.experts == 0) return OkStatus();
  ASSIGN_OR_RETURN(config.experts_used, keys.Int("expert_used_count", 1, kMaxExperts));
  if (config.experts_used > config.experts) {
    return InvalidArgument(fmt::format("{} is {}, but {} is {}", keys.Key("expert_used_count"),
                                       config.experts_used, keys.Key("expert_count"),
                                       config.experts));
  }
  return OkStatus();
}

Result<float> ReadScale(const KeyReader& keys, std::string_view suffix, float fallback) {
  ASSIGN_OR_RETURN(const double scale,
                   keys.FloatOr(suffix, static_cast<double>(fallback), 1 / kMaxScale, kMaxScale));
  return static_cast<float>(scale);
}

Status ReadScales(const KeyReader& keys, ModelConfig& config) {
  if (config.family.embedding_by_width) {
    config.embedding_scale = std::sqrt(static_cast<float>(config.model_dim));
  }
  if (config.family.scales) {
    ASSIGN_OR_RETURN(config.embedding_scale, ReadScale(keys, "embedding_scale", 1));
    ASSIGN_OR_RETURN(config.residual_scale, ReadScale(keys, "residual_scale", 1));
    ASSIGN_OR_RETURN(const float divisor, ReadScale(keys, "logit_scale", 1));
    config.logit_scale = 1 / divisor;
  }
  if (config.family.soft_caps) {
    ASSIGN_OR_RETURN(config.attention_softcap, ReadScale(keys, "attn_logit_softcapping", 50));
    ASSIGN_OR_RETURN(config.final_softcap, ReadScale(keys, "final_logit_softcapping", 30));
  }
  return OkStatus();
}

// Which layers have a window, and which turn q and k.
Status ReadLayers(const KeyReader& keys, ModelConfig& config) {
  const Family& family = config.family;
  const int32_t window_period = WindowPeriod(config.architecture);
  constexpr std::string_view kWindow = "attention.sliding_window";
  int32_t window = 0;
  if (window_period != 0 && (family.window_required || keys.Has(kWindow))) {
    ASSIGN_OR_RETURN(window, keys.Int(kWindow, family.window_required ? 1 : 0,
                                      std::numeric_limits<int32_t>::max()));
  }
  const auto is_last_of = [](int32_t layer, int32_t period) {
    return period != 0 && layer % period == period - 1;
  };
  config.layer_configs.resize(static_cast<size_t>(config.layers));
  for (int32_t i = 0; i < config.layers; ++i) {
    LayerConfig& layer = config.layer_configs[static_cast<size_t>(i)];
    layer.window = WindowOfLayer(window, window_period, i);
    if (layer.window != 0 && config.window_rope) layer.rope = LayerRope::kWindow;
    if (is_last_of(i, family.no_rope_period)) layer.rope = LayerRope::kNone;
  }
  return OkStatus();
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
  const std::string last = fmt::format("blk.{}.attn_output.weight", config.layers - 1);
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
  config.family = *family;
  config.architecture = std::string(architecture);
  ASSIGN_OR_RETURN(const std::string_view name, file.StringOr("general.name", ""));
  config.name = std::string(name);

  const KeyReader keys(file, config.architecture);
  ASSIGN_OR_RETURN(config.layers, keys.Int("block_count", 1, kMaxLayers));
  ASSIGN_OR_RETURN(config.model_dim, keys.Int("embedding_length", 1, kMaxModelDim));
  ASSIGN_OR_RETURN(config.context_length,
                   keys.Int("context_length", 1, std::numeric_limits<int32_t>::max()));
  ASSIGN_OR_RETURN(const double epsilon,
                   keys.Float(family->layer_norm ? "attention.layer_norm_epsilon"
                                                 : "attention.layer_norm_rms_epsilon",
                              0, 1));
  config.norm_epsilon = static_cast<float>(epsilon);
  RETURN_IF_ERROR(ReadHeads(keys, config));
  RETURN_IF_ERROR(ReadFeedForward(keys, config));
  RETURN_IF_ERROR(ReadScales(keys, config));
  RETURN_IF_ERROR(ReadRope(keys, config));
  RETURN_IF_ERROR(ReadLayers(keys, config));
  RETURN_IF_ERROR(CheckTensors(file, keys, config));
  return config;
}

}  // namespace shoal
