// The shape of a model, read from its GGUF metadata and checked against its tensors.
#pragma once

#include <cstdint>
#include <optional>
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
  int32_t original_context = 0;  // the length the model was trained for before it was stretched
  double attn_factor = 1;        // cosine and sine are multiplied by it
  double yarn_beta_fast = 32;
  double yarn_beta_slow = 1;
  double yarn_ext_factor = 1;
  // Divide each pair's frequency (llama3's rope_freqs tensor, phi3's short and long factors);
  // [dim / 2] or empty. The long ones, if there are any, are for sessions with more context than
  // original_context.
  std::vector<float> frequency_factors;
  std::vector<float> long_frequency_factors;
};

enum class QkNorm { kNone, kHeads, kRows };  // of each head by itself, or of all heads together
// Where a block normalizes: what goes into attention and feed-forward, what comes out, or both.
enum class Norms { kBefore, kAfter, kBoth };
enum class Activation { kSilu, kGelu, kClampedSwiglu };
// How layers with a window turn q and k: as all do, by the model's base without its scaling, or by
// a base of 10000 without scaling.
enum class WindowRope { kModel, kUnscaled, kBase10000 };
enum class Experts { kNone, kPossible, kAlways };

// What tells one family from another: the forward pass is the same.
struct Family {
  std::string_view architecture;  // lives as long as the program
  RopeLayout rope_layout = RopeLayout::kHalves;
  QkNorm qk_norm = QkNorm::kNone;
  bool qkv_bias = false;  // q, k and v must have biases; elsewhere they may
  Norms norms = Norms::kBefore;
  bool layer_norm = false;  // with biases; elsewhere it is the root mean square's norm
  Activation activation = Activation::kSilu;
  bool gated = true;           // feed-forward multiplies by a gate; elsewhere it has biases
  bool fused_gate_up = false;  // ffn_up holds the gate's rows, then its own
  Experts experts = Experts::kNone;
  bool expert_biases = false;       // of the router and of each expert
  bool attention_sinks = false;     // a score per head that takes weight but has no value
  bool soft_caps = false;           // of attention's scores and of the logits
  bool embedding_by_width = false;  // embeddings are multiplied by sqrt(model_dim)
  bool scales = false;           // the file says by what embeddings, residuals, logits are scaled
  bool window_required = false;  // of families with windows; elsewhere the file may leave it out
  WindowRope window_rope = WindowRope::kModel;
  int32_t no_rope_period = 0;  // every so manieth layer does not turn q and k; 0: all do
  // A model of this many layers scales queries by model_dim / heads instead of head_dim.
  int32_t width_scaled_layers = 0;
  std::string_view ffn_norm_tensor = "ffn_norm";
};

enum class LayerRope { kModel, kWindow, kNone };

// What tells one layer from another.
struct LayerConfig {
  int32_t window = 0;  // how many last keys a query sees; 0: all
  LayerRope rope = LayerRope::kModel;
};

struct ModelConfig {
  Family family;
  std::string architecture;  // "llama", "qwen2", ...
  std::string name;
  int32_t layers = 0;
  int32_t model_dim = 0;
  int32_t heads = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int32_t ffn_dim = 0;       // of each expert, if there are experts
  int32_t experts = 0;       // 0: one feed-forward for all tokens
  int32_t experts_used = 0;  // by each token
  int32_t vocab_size = 0;
  int32_t context_length = 0;  // as trained
  float norm_epsilon = 1e-5f;
  float attention_scale = 0;    // 1 / sqrt(head_dim) unless the file says otherwise
  float attention_softcap = 0;  // 0: none
  float final_softcap = 0;      // of the logits; 0: none
  float embedding_scale = 1;
  float residual_scale = 1;  // of what attention and feed-forward add
  float logit_scale = 1;
  RopeConfig rope;
  std::optional<RopeConfig> window_rope;   // of layers with LayerRope::kWindow
  std::vector<LayerConfig> layer_configs;  // [layers]
  bool tied_embeddings = false;            // no output.weight: the head is the token embedding

  // Keys and values of one position, kept as `kv_type`. REQUIRES IsKvType(kv_type).
  int64_t KvBytesPerToken(int32_t layer_count, TensorType kv_type) const {
    return layer_count * KvBytes(kv_type, kv_heads, head_dim);
  }
};

// "llama, qwen2, qwen3, ..."
std::string SupportedArchitectures();

// Errors: an architecture that is not supported (lists those that are), missing keys, values out of
// range or that disagree with each other or with a tensor's shape (names both).
Result<ModelConfig> ReadModelConfig(const GgufFile& file);

}  // namespace shoal
