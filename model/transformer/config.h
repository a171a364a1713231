// The shape of a model, read from its GGUF metadata and checked against its tensors.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/kv_type.h"

namespace shoal {

enum class RopeLayout { kAdjacent, kHalves };  // pairs (2i, 2i+1) or (i, i + n/2)
enum class RopeScaling { kNone, kLinear, kYarn };

struct RopeConfig {
  RopeLayout layout = RopeLayout::kAdjacent;
  int32_t dim = 0;  // how many values of a head turn; even
  double base = 10000;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;
  int32_t original_context = 0;  // YaRN: the length the model was trained for
  double yarn_attn_factor = 1;
  double yarn_beta_fast = 32;
  double yarn_beta_slow = 1;
  double yarn_ext_factor = 1;
  // Divides each pair's frequency (llama3's rope_freqs tensor); [dim / 2] or empty.
  std::vector<float> frequency_factors;
};

// One family differs from another by these switches only: the forward pass is the same.
struct ModelConfig {
  std::string architecture;  // "llama", "qwen2", "qwen3"
  std::string name;
  int32_t layers = 0;
  int32_t model_dim = 0;
  int32_t heads = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int32_t ffn_dim = 0;
  int32_t vocab_size = 0;
  int32_t context_length = 0;  // as trained
  float norm_epsilon = 1e-5f;
  float attention_scale = 0;  // 1 / sqrt(head_dim) unless the file says otherwise
  RopeConfig rope;
  bool qk_norm = false;          // qwen3: q and k are normalized per head
  bool qkv_bias = false;         // qwen2: q, k and v must have biases; elsewhere they may
  bool tied_embeddings = false;  // no output.weight: the head is the token embedding

  // Keys and values of one position, kept as `kv_type`. REQUIRES IsKvType(kv_type).
  int64_t KvBytesPerToken(int32_t layer_count, TensorType kv_type) const {
    return layer_count * KvBytes(kv_type, kv_heads, head_dim);
  }
};

// "llama, qwen2, qwen3"
std::string SupportedArchitectures();

// Errors: an architecture that is not supported (lists those that are), missing keys, values out of
// range or that disagree with each other or with a tensor's shape (names both), more experts than
// 0.
Result<ModelConfig> ReadModelConfig(const GgufFile& file);

}  // namespace shoal
