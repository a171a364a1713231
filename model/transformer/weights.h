// The weights of one stage: the tensors of its layer range, and with the last layer the final norm
// and the head.
//
// LoadWeights is the one gate: it checks that every tensor is there with the shape that the config
// implies, and that a layer has no tensor whose meaning this build does not know; nothing checks
// again after it. Matrices are packed for the instruction set into one block of memory, or stay
// where they are in the mapped file if the kernels compute their type row by row.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "model/gguf/gguf_file.h"
#include "model/step/step.h"
#include "model/transformer/activations.h"
#include "model/transformer/aligned_buffer.h"
#include "model/transformer/config.h"
#include "model/transformer/stage.h"

namespace shoal {

// A norm's weight [values], and its bias if it is a LayerNorm. No weight: the model has no norm
// here.
struct NormWeights {
  std::vector<float> weight;
  std::vector<float> bias;
};

// One feed-forward: of all tokens, or an expert's.
struct FfnWeights {
  kernels::WeightMatrix gate;    // [ffn_dim, model_dim]; no rows: there is no gate
  kernels::WeightMatrix up;      // [ffn_dim, model_dim]
  kernels::WeightMatrix down;    // [model_dim, ffn_dim]
  std::vector<float> gate_bias;  // [ffn_dim]
  std::vector<float> up_bias;    // [ffn_dim]
  std::vector<float> down_bias;  // [model_dim]
};

// q_dim = heads * head_dim, kv_dim = kv_heads * head_dim. An empty vector: the model has none.
struct LayerWeights {
  LayerConfig config;
  NormWeights attn_norm;                // [model_dim]
  kernels::WeightMatrix attn_q;         // [q_dim, model_dim]
  kernels::WeightMatrix attn_k;         // [kv_dim, model_dim]
  kernels::WeightMatrix attn_v;         // [kv_dim, model_dim]
  std::vector<float> q_bias;            // [q_dim]
  std::vector<float> k_bias;            // [kv_dim]
  std::vector<float> v_bias;            // [kv_dim]
  std::vector<float> q_norm;            // [head_dim], or [q_dim] for QkNorm::kRows
  std::vector<float> k_norm;            // [head_dim], or [kv_dim]
  std::vector<float> sinks;             // [heads]
  kernels::WeightMatrix attn_output;    // [model_dim, q_dim]
  std::vector<float> attn_output_bias;  // [model_dim]
  NormWeights post_attn_norm;           // [model_dim]
  NormWeights ffn_norm;                 // [model_dim]
  kernels::WeightMatrix router;         // [experts, model_dim]; no rows: there are no experts
  std::vector<float> router_bias;       // [experts]
  std::vector<FfnWeights> ffn;          // [experts], or one
  NormWeights post_ffn_norm;            // [model_dim]
};

struct StageWeights {
  std::vector<LayerWeights> layers;       // of the stage's range
  const TensorInfo* embedding = nullptr;  // [vocab, model_dim] in the file; first stage only
  NormWeights output_norm;                // [model_dim]; last stage only
  kernels::WeightMatrix head;             // [vocab, model_dim]; last stage only

  AlignedBuffer packed;         // what matrices with `packed` point into
  FormatSet formats;            // that the matrices ask for
  int64_t resident_bytes = 0;   // packed or mapped, without the embedding
  int64_t bytes_per_token = 0;  // read for each decoded token: all matrices, of experts those used
};

// `file` outlives the result. REQUIRES a config that was read from `file` and a non-empty range
// within its layers. kResourceExhausted if more than `most_bytes` would be resident.
Result<StageWeights> LoadWeights(const GgufFile& file, const ModelConfig& config, LayerRange range,
                                 int64_t most_bytes, const kernels::KernelTable& kernels,
                                 ThreadPool& pool, LoadProgress* progress);

}  // namespace shoal
