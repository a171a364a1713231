#include "model/transformer/weights.h"

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "model/transformer/weight_loader.h"

namespace shoal {

namespace {

Status FindNorm(WeightLoader& loader, const std::string& name, NormWeights& norm) {
  const int64_t dim = loader.config().model_dim;
  RETURN_IF_ERROR(loader.FindVector(name + ".weight", dim, true, norm.weight));
  if (!loader.config().family.layer_norm) return OkStatus();
  return loader.FindVector(name + ".bias", dim, true, norm.bias);
}

// q, k and v, each by itself or as one tensor's rows in this order.
Status FindQkv(WeightLoader& loader, const std::string& prefix, LayerWeights& layer) {
  const ModelConfig& config = loader.config();
  const int64_t dim = config.model_dim;
  const int64_t q_dim = int64_t{config.heads} * config.head_dim;
  const int64_t kv_dim = int64_t{config.kv_heads} * config.head_dim;
  const std::string fused = prefix + "attn_qkv.weight";
  if (loader.Has(fused)) {
    const std::vector<int64_t> shape = {dim, q_dim + 2 * kv_dim};
    RETURN_IF_ERROR(loader.FindPart(fused, shape, {0, q_dim}, layer.attn_q));
    RETURN_IF_ERROR(loader.FindPart(fused, shape, {q_dim, kv_dim}, layer.attn_k));
    RETURN_IF_ERROR(loader.FindPart(fused, shape, {q_dim + kv_dim, kv_dim}, layer.attn_v));
  } else {
    RETURN_IF_ERROR(loader.FindMatrix(prefix + "attn_q.weight", q_dim, dim, layer.attn_q));
    RETURN_IF_ERROR(loader.FindMatrix(prefix + "attn_k.weight", kv_dim, dim, layer.attn_k));
    RETURN_IF_ERROR(loader.FindMatrix(prefix + "attn_v.weight", kv_dim, dim, layer.attn_v));
  }
  const bool bias = config.family.qkv_bias;
  RETURN_IF_ERROR(loader.FindVector(prefix + "attn_q.bias", q_dim, bias, layer.q_bias));
  RETURN_IF_ERROR(loader.FindVector(prefix + "attn_k.bias", kv_dim, bias, layer.k_bias));
  RETURN_IF_ERROR(loader.FindVector(prefix + "attn_v.bias", kv_dim, bias, layer.v_bias));
  if (config.family.qk_norm == QkNorm::kNone) return OkStatus();
  const bool heads = config.family.qk_norm == QkNorm::kHeads;
  RETURN_IF_ERROR(loader.FindVector(prefix + "attn_q_norm.weight", heads ? config.head_dim : q_dim,
                                    true, layer.q_norm));
  return loader.FindVector(prefix + "attn_k_norm.weight", heads ? config.head_dim : kv_dim, true,
                           layer.k_norm);
}

Status FindAttention(WeightLoader& loader, const std::string& prefix, LayerWeights& layer) {
  const ModelConfig& config = loader.config();
  const int64_t dim = config.model_dim;
  RETURN_IF_ERROR(FindQkv(loader, prefix, layer));
  RETURN_IF_ERROR(loader.FindMatrix(prefix + "attn_output.weight", dim,
                                    int64_t{config.heads} * config.head_dim, layer.attn_output));
  RETURN_IF_ERROR(
      loader.FindVector(prefix + "attn_output.bias", dim, false, layer.attn_output_bias));
  if (!config.family.attention_sinks) return OkStatus();
  return loader.FindVector(prefix + "attn_sinks.weight", config.heads, true, layer.sinks);
}

// The feed-forward of all tokens.
Status FindFeedForward(WeightLoader& loader, const std::string& prefix, FfnWeights& ffn) {
  const ModelConfig& config = loader.config();
  const int64_t dim = config.model_dim;
  const int64_t width = config.ffn_dim;
  const std::string up = prefix + "ffn_up.weight";
  if (config.family.fused_gate_up) {
    RETURN_IF_ERROR(loader.FindPart(up, {dim, 2 * width}, {0, width}, ffn.gate));
    RETURN_IF_ERROR(loader.FindPart(up, {dim, 2 * width}, {width, width}, ffn.up));
  } else {
    RETURN_IF_ERROR(loader.FindMatrix(up, width, dim, ffn.up));
    if (config.family.gated) {
      RETURN_IF_ERROR(loader.FindMatrix(prefix + "ffn_gate.weight", width, dim, ffn.gate));
      RETURN_IF_ERROR(loader.FindVector(prefix + "ffn_gate.bias", width, false, ffn.gate_bias));
    }
  }
  const bool biases = !config.family.gated;
  RETURN_IF_ERROR(loader.FindVector(prefix + "ffn_up.bias", width, biases, ffn.up_bias));
  RETURN_IF_ERROR(loader.FindVector(prefix + "ffn_down.bias", dim, biases, ffn.down_bias));
  return loader.FindMatrix(prefix + "ffn_down.weight", dim, width, ffn.down);
}

Status FindExpert(WeightLoader& loader, const std::string& prefix, int32_t expert,
                  FfnWeights& ffn) {
  const ModelConfig& config = loader.config();
  const int64_t dim = config.model_dim;
  const int64_t width = config.ffn_dim;
  const int64_t experts = config.experts;
  const auto find = [&](const char* name, int64_t rows, int64_t cols, kernels::WeightMatrix& matrix,
                        std::vector<float>& bias) -> Status {
    RETURN_IF_ERROR(loader.FindPart(prefix + name + ".weight", {cols, rows, experts},
                                    {expert * rows, rows, true}, matrix));
    if (!config.family.expert_biases) return OkStatus();
    return loader.FindRow(prefix + name + ".bias", rows, experts, expert, bias);
  };
  RETURN_IF_ERROR(find("ffn_gate_exps", width, dim, ffn.gate, ffn.gate_bias));
  RETURN_IF_ERROR(find("ffn_up_exps", width, dim, ffn.up, ffn.up_bias));
  return find("ffn_down_exps", dim, width, ffn.down, ffn.down_bias);
}

Status FindExperts(WeightLoader& loader, const std::string& prefix, LayerWeights& layer) {
  const ModelConfig& config = loader.config();
  RETURN_IF_ERROR(loader.FindMatrix(prefix + "ffn_gate_inp.weight", config.experts,
                                    config.model_dim, layer.router));
  RETURN_IF_ERROR(loader.FindVector(prefix + "ffn_gate_inp.bias", config.experts,
                                    config.family.expert_biases, layer.router_bias));
  layer.ffn.resize(static_cast<size_t>(config.experts));
  for (int32_t i = 0; i < config.experts; ++i) {
    RETURN_IF_ERROR(FindExpert(loader, prefix, i, layer.ffn[static_cast<size_t>(i)]));
  }
  return OkStatus();
}

Status FindLayer(WeightLoader& loader, int32_t index, LayerWeights& layer) {
  const ModelConfig& config = loader.config();
  const Family& family = config.family;
  const std::string prefix = fmt::format("blk.{}.", index);
  layer.config = config.layer_configs[static_cast<size_t>(index)];
  RETURN_IF_ERROR(FindAttention(loader, prefix, layer));
  if (family.norms != Norms::kAfter) {
    RETURN_IF_ERROR(FindNorm(loader, prefix + "attn_norm", layer.attn_norm));
    RETURN_IF_ERROR(FindNorm(loader, prefix + std::string(family.ffn_norm_tensor), layer.ffn_norm));
  }
  if (family.norms != Norms::kBefore) {
    RETURN_IF_ERROR(FindNorm(loader, prefix + "post_attention_norm", layer.post_attn_norm));
    RETURN_IF_ERROR(FindNorm(loader, prefix + "post_ffw_norm", layer.post_ffn_norm));
  }
  if (config.experts != 0) {
    RETURN_IF_ERROR(FindExperts(loader, prefix, layer));
  } else {
    layer.ffn.resize(1);
    RETURN_IF_ERROR(FindFeedForward(loader, prefix, layer.ffn[0]));
  }
  return loader.CheckNoOthers(prefix);
}

// What the first and the last stage have besides layers.
Status FindEnds(WeightLoader& loader, LayerRange range, StageWeights& weights) {
  const ModelConfig& config = loader.config();
  const int64_t dim = config.model_dim;
  const int64_t vocab = config.vocab_size;
  if (range.begin == 0) {
    ASSIGN_OR_RETURN(weights.embedding, loader.Find("token_embd.weight", {dim, vocab}));
  }
  if (range.end == config.layers) {
    RETURN_IF_ERROR(FindNorm(loader, "output_norm", weights.output_norm));
    const char* head = config.tied_embeddings ? "token_embd.weight" : "output.weight";
    RETURN_IF_ERROR(loader.FindMatrix(head, vocab, dim, weights.head));
  }
  return OkStatus();
}

}  // namespace

Result<StageWeights> LoadWeights(const GgufFile& file, const ModelConfig& config, LayerRange range,
                                 int64_t most_bytes, const kernels::KernelTable& kernels,
                                 ThreadPool& pool, LoadProgress* progress) {
  StageWeights weights;
  weights.layers.resize(static_cast<size_t>(range.size()));
  WeightLoader loader(file, config, kernels);
  for (int32_t i = range.begin; i < range.end; ++i) {
    RETURN_IF_ERROR(FindLayer(loader, i, weights.layers[static_cast<size_t>(i - range.begin)]));
  }
  RETURN_IF_ERROR(FindEnds(loader, range, weights));
  RETURN_IF_ERROR(loader.Pack(pool, most_bytes, progress, weights));
  return weights;
}

}  // namespace shoal
