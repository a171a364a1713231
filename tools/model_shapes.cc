#include "tools/model_shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

#include "model/gguf/kv_type.h"

namespace shoal {

namespace {

// Numbers of a decoder as its published configuration gives them.
struct Dimensions {
  std::string_view name;
  std::string_view model;
  int32_t layers;
  int64_t dim;
  int64_t ffn_dim;
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
  int64_t vocab;
  bool tied;  // the head is the embedding
  TensorType weights;
  TensorType head;
  int32_t experts = 1;
  int32_t experts_used = 1;
};

// Source: config.json of each model as published by its makers.
constexpr std::array kShapes = {
    Dimensions{"smollm2-135m", "SmolLM2-135M, Q4_1", 30, 576, 1536, 9, 3, 64, 49152, true,
               TensorType::kQ4_1, TensorType::kQ8_0},
    Dimensions{"0.6b-q8_0", "Qwen3-0.6B, Q8_0", 28, 1024, 3072, 16, 8, 128, 151936, true,
               TensorType::kQ8_0, TensorType::kQ8_0},
    Dimensions{"1b-q4_0", "TinyLlama-1.1B, Q4_0", 22, 2048, 5632, 32, 4, 64, 32000, false,
               TensorType::kQ4_0, TensorType::kQ6_K},
    Dimensions{"3b-q4_k", "Llama-3.2-3B, Q4_K", 28, 3072, 8192, 24, 8, 128, 128256, true,
               TensorType::kQ4_K, TensorType::kQ6_K},
    Dimensions{"7b-q4_0", "Llama-2-7B, Q4_0", 32, 4096, 11008, 32, 32, 128, 32000, false,
               TensorType::kQ4_0, TensorType::kQ6_K},
    Dimensions{"8b-q4_0", "Llama-3.1-8B, Q4_0", 32, 4096, 14336, 32, 8, 128, 128256, false,
               TensorType::kQ4_0, TensorType::kQ6_K},
    Dimensions{"8b-q4_k", "Llama-3.1-8B, Q4_K", 32, 4096, 14336, 32, 8, 128, 128256, false,
               TensorType::kQ4_K, TensorType::kQ6_K},
    Dimensions{"14b-q4_k", "Qwen3-14B, Q4_K", 40, 5120, 17408, 40, 8, 128, 151936, false,
               TensorType::kQ4_K, TensorType::kQ6_K},
    Dimensions{"32b-q4_k", "Qwen3-32B, Q4_K", 64, 5120, 25600, 64, 8, 128, 151936, false,
               TensorType::kQ4_K, TensorType::kQ6_K},
    Dimensions{"70b-q4_k", "Llama-3.1-70B, Q4_K", 80, 8192, 28672, 64, 8, 128, 128256, false,
               TensorType::kQ4_K, TensorType::kQ6_K},
    Dimensions{"8x7b-q4_k", "Mixtral-8x7B, Q4_K, 2 of 8 experts", 32, 4096, 14336, 32, 8, 128,
               32000, false, TensorType::kQ4_K, TensorType::kQ6_K, 8, 2},
    Dimensions{"30b-a3b-q4_k", "Qwen3-30B-A3B, Q4_K, 8 of 128 experts", 48, 2048, 768, 32, 4, 128,
               151936, false, TensorType::kQ4_K, TensorType::kQ6_K, 128, 8},
};

WeightGroup Group(TensorType type) {
  WeightGroup group;
  group.type = InfoOf(type).name;
  return group;
}

// Adds a matrix of each expert, counted as one product.
void AddMatrix(TensorType type, int64_t in, int64_t out, WeightGroup& group) {
  group.bytes += group.experts * out * RowBytes(type, in);
  group.macs += group.experts * in * out;
  ++group.matrices;
}

LayerShape Layer(const Dimensions& d, TensorType kv_type) {
  LayerShape layer;
  const int64_t query_dim = d.heads * d.head_dim;
  const int64_t kv_dim = d.kv_heads * d.head_dim;
  WeightGroup dense = Group(d.weights);
  const auto add = [&layer](TensorType type, int64_t in, int64_t out, WeightGroup& group) {
    AddMatrix(type, in, out, group);
    layer.elementwise_values += (in + out) * group.experts_used;
  };
  add(d.weights, d.dim, query_dim, dense);
  add(d.weights, d.dim, kv_dim, dense);
  add(d.weights, d.dim, kv_dim, dense);
  add(d.weights, query_dim, d.dim, dense);
  WeightGroup routed = dense;
  if (d.experts > 1) {
    routed = Group(d.weights);
    routed.experts = d.experts;
    routed.experts_used = d.experts_used;
    WeightGroup router = Group(TensorType::kF32);
    add(TensorType::kF32, d.dim, d.experts, router);
    layer.weights = {dense, router};
  }
  add(d.weights, d.dim, d.ffn_dim, routed);
  add(d.weights, d.dim, d.ffn_dim, routed);
  add(d.weights, d.ffn_dim, d.dim, routed);
  layer.weights.push_back(routed);
  constexpr int64_t kFloatBytes = sizeof(float);
  layer.vector_bytes = 2 * d.dim * kFloatBytes;  // the two norms
  layer.kv_bytes_per_token = KvBytes(kv_type, d.kv_heads, d.head_dim);
  layer.attention_macs_per_position = 2 * query_dim;
  layer.activation_bytes = d.dim * kFloatBytes;
  return layer;
}

ModelShape Shape(const Dimensions& d, TensorType kv_type) {
  ModelShape shape;
  const LayerShape layer = Layer(d, kv_type);
  shape.layers.assign(static_cast<size_t>(d.layers), layer);
  WeightGroup head = Group(d.head);
  AddMatrix(d.head, d.dim, d.vocab, head);
  shape.head = {head};
  shape.embedding = shape.head;
  if (!d.tied) {
    WeightGroup embedding = Group(d.weights);
    AddMatrix(d.weights, d.dim, d.vocab, embedding);
    shape.embedding = {embedding};
  }
  shape.buffer_bytes_per_token = layer.elementwise_values * static_cast<int64_t>(sizeof(float));
  return shape;
}

}  // namespace

Result<ModelShape> NamedShape(std::string_view name, TensorType kv_type) {
  std::string names;
  for (const Dimensions& dimensions : kShapes) {
    if (dimensions.name == name) return Shape(dimensions, kv_type);
    names += fmt::format("{}{}", names.empty() ? "" : ", ", dimensions.name);
  }
  return InvalidArgument(fmt::format("there is no model shape {}: there are {}", name, names));
}

std::vector<ShapeName> ShapeNames() {
  std::vector<ShapeName> names;
  for (const Dimensions& dimensions : kShapes) names.push_back({dimensions.name, dimensions.model});
  return names;
}

}  // namespace shoal
