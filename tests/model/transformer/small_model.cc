#include "tests/model/transformer/small_model.h"

#include <bit>

#include "kernels/quant_formats.h"
#include "tests/kernels/random_blocks.h"

namespace shoal::testing {

namespace {

constexpr int64_t kWidth = 256;
constexpr int64_t kKvWidth = 128;
constexpr int64_t kVocab = 96;

std::string Bytes(const SmallModel::Tensor& tensor, kernels::Random& random) {
  int64_t rows = 1;
  for (size_t i = 1; i < tensor.shape.size(); ++i) rows *= tensor.shape[i];
  if (tensor.type == TensorType::kF32 || tensor.type == TensorType::kF16 ||
      tensor.type == TensorType::kBF16) {
    // Vectors are norms and biases, about 1; matrices keep the size of what they multiply.
    const bool vector = tensor.shape.size() == 1;
    std::string bytes;
    for (int64_t i = 0; i < rows * tensor.shape[0]; ++i) {
      const float uniform = static_cast<float>(random() >> 40) * 0x1p-23f - 1;
      const float value = vector ? 1 + 0.2f * uniform : 0.1f * uniform;
      switch (tensor.type) {
        case TensorType::kF16: bytes += Encode(kernels::FloatToHalf(value)); break;
        case TensorType::kBF16:
          bytes += Encode(static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16));
          break;
        default: bytes += Encode(value);
      }
    }
    return bytes;
  }
  const std::vector<std::byte> blocks =
      kernels::RandomRows(tensor.type, rows, tensor.shape[0], random, kernels::Scales::kUsual);
  return {reinterpret_cast<const char*>(blocks.data()), blocks.size()};
}

}  // namespace

SmallModel::SmallModel(const std::string& model_architecture, TensorType matrix_type)
    : architecture(model_architecture) {
  Set("block_count", 3);
  Set("context_length", 512);
  Set("embedding_length", kWidth);
  Set("feed_forward_length", kWidth);
  Set("attention.head_count", 4);
  Set("attention.head_count_kv", 2);
  SetFloat("attention.layer_norm_rms_epsilon", 1e-5f);
  tensors["token_embd.weight"] = {matrix_type, {kWidth, kVocab}};
  tensors["output.weight"] = {matrix_type, {kWidth, kVocab}};
  tensors["output_norm.weight"] = {TensorType::kF32, {kWidth}};
  for (int i = 0; i < 3; ++i) {
    const std::string prefix = "blk." + std::to_string(i) + ".";
    for (const char* name : {"attn_norm", "ffn_norm"}) {
      tensors[prefix + name + ".weight"] = {TensorType::kF32, {kWidth}};
    }
    for (const char* name : {"attn_q", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
      tensors[prefix + name + ".weight"] = {matrix_type, {kWidth, kWidth}};
    }
    for (const char* name : {"attn_k", "attn_v"}) {
      tensors[prefix + name + ".weight"] = {matrix_type, {kWidth, kKvWidth}};
    }
  }
}

void SmallModel::UseExperts(uint32_t experts, uint32_t used) {
  Set("expert_count", experts);
  Set("expert_used_count", used);
  for (int i = 0; i < 3; ++i) {
    const std::string prefix = "blk." + std::to_string(i) + ".";
    tensors[prefix + "ffn_gate_inp.weight"] = {TensorType::kF32, {kWidth, experts}};
    for (const std::string name : {"ffn_gate", "ffn_up", "ffn_down"}) {
      Tensor tensor = tensors.at(prefix + name + ".weight");
      tensor.shape.push_back(experts);
      tensors.erase(prefix + name + ".weight");
      tensors[prefix + name + "_exps.weight"] = tensor;
    }
  }
}

std::shared_ptr<const GgufFile> SmallModel::Make() const {
  GgufBuilder builder;
  builder.AddString("general.architecture", architecture);
  for (const auto& [key, value] : ints) builder.AddUint32(key, value);
  for (const auto& [key, value] : floats) builder.AddFloat(key, value);
  for (const auto& [key, value] : strings) builder.AddString(key, value);
  kernels::Random random(20261122);
  for (const auto& [name, tensor] : tensors) {
    builder.AddTensor(name, tensor.type, tensor.shape, Bytes(tensor, random));
  }
  struct Owned {
    explicit Owned(BuiltGguf from)
        : built(std::move(from)), file(GgufFile::Parse(built.span(), "small.gguf").value()) {}
    BuiltGguf built;
    GgufFile file;
  };
  auto owned = std::make_shared<const Owned>(builder.Build());
  return {owned, &owned->file};
}

}  // namespace shoal::testing
