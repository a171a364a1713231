#include "coordinator/model_shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "model/gguf/kv_type.h"
#include "model/gguf/sliding_window.h"
#include "model/step/step.h"

namespace shoal {

namespace {

constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxDim = 1 << 20;
constexpr std::string_view kLayerPrefix = "blk.";
constexpr std::string_view kEmbedding = "token_embd.weight";

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
  if (tensor.shape.size() < 2 || tensor.name.ends_with(".bias")) {  // experts have one each
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
  if (tensor.name == kEmbedding) {
    AddMatrix(tensor, experts, shape.embedding);
  } else if (tensor.name == "output.weight") {
    AddMatrix(tensor, experts, shape.head);
  } else if (tensor.name.starts_with(kLayerPrefix)) {
    ASSIGN_OR_RETURN(LayerShape* const layer, LayerOf(tensor, shape));
    AddToLayer(tensor, experts, *layer);
  }
  return OkStatus();
}

// One number for all layers, or an array with one for each.
Result<std::vector<int64_t>> IntOfEachLayer(const GgufFile& file, const std::string& key,
                                            int64_t layers) {
  const Result<std::vector<int64_t>> list = file.Ints(key);
  std::vector<int64_t> values;
  if (list.ok()) {
    values = *list;
  } else {
    ASSIGN_OR_RETURN(const int64_t value, file.Int(key));
    values.assign(static_cast<size_t>(layers), value);
  }
  if (static_cast<int64_t>(values.size()) != layers) {
    return InvalidArgument(fmt::format("{}: {} values for {} layers", key, values.size(), layers));
  }
  for (const int64_t value : values) {
    if (value >= 1 && value <= kMaxDim) continue;
    return InvalidArgument(fmt::format("{}: {} is outside [1, {}]", key, value, kMaxDim));
  }
  return values;
}

// What the metadata says of attention and feed-forward; heads by layer.
struct Dimensions {
  int64_t layers = 0;
  int64_t model_dim = 0;
  std::vector<int64_t> heads;
  std::vector<int64_t> kv_heads;
  int64_t head_dim = 0;
  std::vector<int64_t> ffn_dim;  // of each expert, if there are experts; empty: the file has none
  ExpertCounts experts;
  int64_t window = 0;
  int32_t window_period = 0;
};

Status ReadHeads(const GgufFile& file, const std::string& prefix, Dimensions& dims) {
  ASSIGN_OR_RETURN(dims.heads, IntOfEachLayer(file, prefix + "attention.head_count", dims.layers));
  dims.kv_heads = dims.heads;
  const std::string kv_key = prefix + "attention.head_count_kv";
  if (file.Has(kv_key)) {
    ASSIGN_OR_RETURN(dims.kv_heads, IntOfEachLayer(file, kv_key, dims.layers));
  }
  ASSIGN_OR_RETURN(dims.head_dim,
                   file.IntOr(prefix + "attention.key_length", dims.model_dim / dims.heads[0]));
  for (size_t i = 0; i < dims.heads.size(); ++i) {
    if (dims.kv_heads[i] <= dims.heads[i] && dims.head_dim >= 1 && dims.head_dim <= kMaxDim) {
      continue;
    }
    return InvalidArgument(fmt::format("{} heads, {} KV heads of width {} do not make sense",
                                       dims.heads[i], dims.kv_heads[i], dims.head_dim));
  }
  return OkStatus();
}

Result<Dimensions> ReadDimensions(const GgufFile& file) {
  ASSIGN_OR_RETURN(const std::string_view architecture, file.String("general.architecture"));
  const std::string prefix = std::string(architecture) + ".";
  Dimensions dims;
  ASSIGN_OR_RETURN(dims.layers, BoundedInt(file, prefix + "block_count", kMaxLayers));
  ASSIGN_OR_RETURN(dims.model_dim, BoundedInt(file, prefix + "embedding_length", kMaxDim));
  RETURN_IF_ERROR(ReadHeads(file, prefix, dims));
  ASSIGN_OR_RETURN(dims.experts, ReadExpertCounts(file, prefix));
  const std::string expert_key = prefix + "expert_feed_forward_length";
  const bool own_width = dims.experts.all > 1 && file.Has(expert_key);
  const std::string ffn_key = own_width ? expert_key : prefix + "feed_forward_length";
  if (file.Has(ffn_key)) {
    ASSIGN_OR_RETURN(dims.ffn_dim, IntOfEachLayer(file, ffn_key, dims.layers));
  }
  dims.window_period = WindowPeriod(architecture);
  const std::string window_key = prefix + "attention.sliding_window";
  if (dims.window_period > 0 && file.Has(window_key)) {
    ASSIGN_OR_RETURN(dims.window, file.Int(window_key));
    if (dims.window < 0) {
      return InvalidArgument(fmt::format("{}: {} is negative", window_key, dims.window));
    }
    dims.window = std::min<int64_t>(dims.window, StepLimits::kMaxContextTokens);
  }
  return dims;
}

LayerShape ShapeOfAttention(const Dimensions& dims, size_t layer, TensorType kv_type) {
  LayerShape shape;
  shape.kv_bytes_per_token = KvBytes(kv_type, dims.kv_heads[layer], dims.head_dim);
  shape.attention_macs_per_position = 2 * dims.heads[layer] * dims.head_dim;
  shape.attention_window = WindowOfLayer(static_cast<int32_t>(dims.window), dims.window_period,
                                         static_cast<int32_t>(layer));
  shape.activation_bytes = dims.model_dim * static_cast<int64_t>(sizeof(float));
  return shape;
}

// What a stage allocates for each token of a step (model/transformer/block.cc): the widest of
// attention and feed-forward with its inputs quantized in up to two formats, the hidden state and
// its norm, the angles of two rotations; and the activations as they come, lie and go.
int64_t BufferBytesPerToken(const Dimensions& dims) {
  constexpr int64_t kFloat = sizeof(float);
  constexpr int64_t kQuantizedBytes = 3;  // of a value, with its share of scales and sums
  int64_t most = 0;
  for (size_t i = 0; i < dims.heads.size(); ++i) {
    const int64_t used = dims.experts.used;
    const int64_t ffn_dim = dims.ffn_dim.empty() ? 0 : dims.ffn_dim[i];
    const int64_t routed = dims.experts.all > 1 ? used * dims.model_dim + dims.experts.all : 0;
    const int64_t q_dim = dims.heads[i] * dims.head_dim;
    const int64_t wide =
        std::max(2 * (q_dim + dims.kv_heads[i] * dims.head_dim), 2 * used * ffn_dim + routed);
    const int64_t input = std::max({used * dims.model_dim, used * ffn_dim, q_dim});
    most = std::max(most, wide * kFloat + input * kQuantizedBytes);
  }
  return most + (2 + 3) * dims.model_dim * kFloat + 2 * dims.head_dim * kFloat;
}

}  // namespace

Result<ModelShape> ReadModelShape(const GgufFile& file, TensorType kv_type) {
  ASSIGN_OR_RETURN(const Dimensions dims, ReadDimensions(file));
  ModelShape shape;
  for (size_t i = 0; i < static_cast<size_t>(dims.layers); ++i) {
    shape.layers.push_back(ShapeOfAttention(dims, i, kv_type));
  }
  for (const TensorInfo& tensor : file.tensors()) {
    RETURN_IF_ERROR(AddTensor(tensor, dims.experts, shape));
  }
  if (shape.head.empty()) shape.head = shape.embedding;  // tied
  shape.buffer_bytes_per_token = BufferBytesPerToken(dims);
  return shape;
}

Result<ProfileTarget> ReadProfileTarget(const GgufFile& file, TensorType kv_type) {
  ASSIGN_OR_RETURN(const Dimensions dims, ReadDimensions(file));
  ProfileTarget target;
  target.model_dim = static_cast<int32_t>(dims.model_dim);
  target.heads = static_cast<int32_t>(dims.heads[0]);
  target.kv_heads = static_cast<int32_t>(dims.kv_heads[0]);
  target.head_dim = static_cast<int32_t>(dims.head_dim);
  target.ffn_dim = static_cast<int32_t>(dims.ffn_dim.empty() ? dims.model_dim : dims.ffn_dim[0]);
  target.kv_type = kv_type;
  std::set<TensorType> types;
  const bool tied = file.FindTensor("output.weight") == nullptr;
  for (const TensorInfo& tensor : file.tensors()) {
    const bool head = tensor.name == "output.weight" || (tied && tensor.name == kEmbedding);
    if (head || (tensor.name.starts_with(kLayerPrefix) && tensor.shape.size() >= 2)) {
      types.insert(tensor.type);
    }
  }
  target.types.assign(types.begin(), types.end());
  return target;
}

Result<int32_t> ReadVocabSize(const GgufFile& file) {
  const TensorInfo* embedding = file.FindTensor(kEmbedding);
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
