#include "coordinator/model_shape.h"

#include <fmt/format.h>

#include <algorithm>
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

bool IsRouted(const TensorInfo& tensor) { return tensor.name.find("_exps.") != std::string::npos; }

// The tensor's group among `groups`: one for each type and routing.
WeightGroup& GroupOf(const TensorInfo& tensor, ExpertCounts experts,
                     std::vector<WeightGroup>& groups) {
  WeightGroup wanted;
  wanted.type = InfoOf(tensor.type).name;
  if (IsRouted(tensor)) {
    wanted.experts = static_cast<int32_t>(experts.all);
    wanted.experts_used = static_cast<int32_t>(experts.used);
  }
  for (WeightGroup& group : groups) {
    if (group.type == wanted.type && group.experts == wanted.experts) return group;
  }
  return groups.emplace_back(wanted);
}

WeightGroup& AddMatrix(const TensorInfo& tensor, ExpertCounts experts,
                       std::vector<WeightGroup>& groups) {
  WeightGroup& group = GroupOf(tensor, experts, groups);
  group.bytes += static_cast<int64_t>(tensor.bytes.size());
  group.macs += tensor.values();
  ++group.matrices;
  return group;
}

void AddToLayer(const TensorInfo& tensor, ExpertCounts experts, LayerShape& layer) {
  if (tensor.shape.size() < 2) {
    layer.vector_bytes += static_cast<int64_t>(tensor.bytes.size());
    return;
  }
  const WeightGroup& group = AddMatrix(tensor, experts, layer.weights);
  const int64_t in = tensor.shape[0];
  const int64_t out = tensor.shape[1];
  layer.elementwise_values += (in + out) * group.experts_used;
}

Result<LayerShape*> LayerOf(const TensorInfo& tensor, ModelShape& shape) {
  const std::string_view name = tensor.name;
  size_t layer = 0;
  const char* digits = name.data() + kLayerPrefix.size();
  const auto parsed = std::from_chars(digits, name.data() + name.size(), layer);
  if (parsed.ec != std::errc() || layer >= shape.layers.size()) {
    return InvalidArgument(
        fmt::format("tensor {}: the model has {} layers", name, shape.layers.size()));
  }
  return &shape.layers[layer];
}

Status AddTensor(const TensorInfo& tensor, ExpertCounts experts, ModelShape& shape) {
  if (tensor.name == "token_embd.weight") {
    AddMatrix(tensor, experts, shape.embedding);
  } else if (tensor.name == "output.weight") {
    AddMatrix(tensor, experts, shape.head);
  } else if (tensor.name.starts_with(kLayerPrefix)) {
    ASSIGN_OR_RETURN(LayerShape* const layer, LayerOf(tensor, shape));
    AddToLayer(tensor, experts, *layer);
  }
  return OkStatus();
}

// Activations before, within and after a layer, none of them reused: an upper bound.
int64_t BufferBytesPerToken(const ModelShape& shape) {
  int64_t values = 0;
  for (const LayerShape& layer : shape.layers) values = std::max(values, layer.elementwise_values);
  return values * static_cast<int64_t>(sizeof(float));
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
  LayerShape layer;
  layer.kv_bytes_per_token = KvBytes(kv_type, kv_heads, head_dim);
  layer.attention_macs_per_position = 2 * heads * head_dim;
  layer.activation_bytes = dim * static_cast<int64_t>(sizeof(float));
  ModelShape shape;
  shape.layers.assign(static_cast<size_t>(layers), layer);
  for (const TensorInfo& tensor : file.tensors()) {
    RETURN_IF_ERROR(AddTensor(tensor, experts, shape));
  }
  if (shape.head.empty()) shape.head = shape.embedding;  // tied
  shape.buffer_bytes_per_token = BufferBytesPerToken(shape);
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
