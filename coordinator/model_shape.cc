#include "coordinator/model_shape.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "model/gguf/kv_type.h"
#include "model/step/step.h"

namespace shoal {

namespace {

constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxDim = 1 << 20;
constexpr std::string_view kLayerPrefix = "blk.";

Result<int64_t> BoundedInt(const GgufFile& file, const std::string& key, int64_t most) {
  ASSIGN_OR_RETURN(const int64_t value, file.Int(key));
  if (value < 1 || value > most) {
    return InvalidArgument(fmt::format("{}: {} is outside [1, {}]", key, value, most));
  }
  return value;
}

// How many experts a layer has, and how many a token goes to.
struct ExpertCounts {
  int64_t all = 1;
  int64_t used = 1;
};
Result<ExpertCounts> ReadExpertCounts(const GgufFile& file, const std::string& prefix) {
  ExpertCounts counts;
  ASSIGN_OR_RETURN(const int64_t all, file.IntOr(prefix + "expert_count", 0));
  if (all == 0) return counts;
  ASSIGN_OR_RETURN(counts.all, BoundedInt(file, prefix + "expert_count", kMaxDim));
  ASSIGN_OR_RETURN(counts.used, BoundedInt(file, prefix + "expert_used_count", counts.all));
  return counts;
}

Status AddTensor(const TensorInfo& tensor, ExpertCounts experts, ModelShape& shape) {
  const auto bytes = static_cast<int64_t>(tensor.bytes.size());
  const std::string_view name = tensor.name;
  if (name == "token_embd.weight") {
    shape.embedding_bytes = bytes;
  } else if (name == "output.weight") {
    shape.head_bytes = bytes;
  } else if (name.substr(0, kLayerPrefix.size()) == kLayerPrefix) {
    size_t layer = 0;
    const char* digits = name.data() + kLayerPrefix.size();
    const auto parsed = std::from_chars(digits, name.data() + name.size(), layer);
    if (parsed.ec != std::errc() || layer >= shape.layer_weight_bytes.size()) {
      return InvalidArgument(
          fmt::format("tensor {}: the model has {} layers", name, shape.layer_weight_bytes.size()));
    }
    const bool routed = name.find("_exps.") != std::string_view::npos;
    shape.layer_weight_bytes[layer] += bytes;
    shape.layer_token_bytes[layer] += routed ? bytes / experts.all * experts.used : bytes;
  }
  return OkStatus();
}

}  // namespace

Result<ModelShape> ReadModelShape(const GgufFile& file, TensorType kv_type) {
  ASSIGN_OR_RETURN(const std::string_view architecture, file.String("general.architecture"));
  const std::string prefix = std::string(architecture) + ".";
  ASSIGN_OR_RETURN(const int64_t layers, BoundedInt(file, prefix + "block_count", kMaxLayers));
  ASSIGN_OR_RETURN(const int64_t dim, BoundedInt(file, prefix + "embedding_length", kMaxDim));
  ASSIGN_OR_RETURN(const int64_t heads, BoundedInt(file, prefix + "attention.head_count", kMaxDim));
  ASSIGN_OR_RETURN(const int64_t kv_heads, file.IntOr(prefix + "attention.head_count_kv", heads));
  ASSIGN_OR_RETURN(const int64_t head_dim,
                   file.IntOr(prefix + "attention.key_length", dim / heads));
  if (kv_heads < 1 || kv_heads > heads || head_dim < 1 || head_dim > kMaxDim) {
    return InvalidArgument(fmt::format("{} heads, {} KV heads of width {} do not make sense", heads,
                                       kv_heads, head_dim));
  }
  ASSIGN_OR_RETURN(const ExpertCounts experts, ReadExpertCounts(file, prefix));
  ModelShape shape;
  shape.layer_weight_bytes.resize(static_cast<size_t>(layers));
  shape.layer_token_bytes.resize(static_cast<size_t>(layers));
  for (const TensorInfo& tensor : file.tensors()) {
    RETURN_IF_ERROR(AddTensor(tensor, experts, shape));
  }
  if (shape.head_bytes == 0) shape.head_bytes = shape.embedding_bytes;  // tied
  shape.kv_bytes_per_layer_token = KvBytes(kv_type, kv_heads, head_dim);
  shape.activation_bytes_per_token = dim * static_cast<int64_t>(sizeof(float));
  return shape;
}

Result<int32_t> ReadVocabSize(const GgufFile& file) {
  const TensorInfo* embedding = file.FindTensor("token_embd.weight");
  if (embedding == nullptr) return InvalidArgument("the model has no token_embd.weight");
  if (embedding->rows() > INT32_MAX) {
    return InvalidArgument(fmt::format("token_embd.weight has {} rows", embedding->rows()));
  }
  return static_cast<int32_t>(embedding->rows());
}

Result<int32_t> ReadContextLength(const GgufFile& file) {
  ASSIGN_OR_RETURN(const std::string_view architecture, file.String("general.architecture"));
  ASSIGN_OR_RETURN(const int64_t length,
                   BoundedInt(file, std::string(architecture) + ".context_length",
                              StepLimits::kMaxContextTokens));
  return static_cast<int32_t>(length);
}

}  // namespace shoal
