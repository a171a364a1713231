// Runs a model cut into stages within one process, for tests.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "model/gguf/gguf_file.h"
#include "model/step/step.h"
#include "model/transformer/stage.h"

namespace shoal::testing {

// "<tests/data>/tiny-models/tiny-<name>.gguf", checked by the reader.
std::shared_ptr<const GgufFile> OpenTinyModel(const std::string& name);

// The golden file beside it: what llama.cpp computed.
struct Golden {
  int32_t context = 64;  // that the session was granted
  std::vector<int32_t> tokens;
  std::vector<std::vector<float>> logits;  // [tokens][vocab]
  std::vector<int32_t> greedy;
};
Golden ReadGolden(const std::string& name);

// A pipeline of stages over one file.
class Pipeline {
 public:
  // `cuts` are the layers at which a new stage begins: {} is one stage, {2} is [0, 2) and [2, ..).
  Pipeline(std::shared_ptr<const GgufFile> file, const std::vector<int32_t>& cuts, kernels::Isa isa,
           int threads, int64_t kv_budget_bytes = 64 << 20, TensorType kv_type = TensorType::kF16);

  // Runs a step through all stages.
  Result<StepResult> Run(Step step);
  Stage& stage(size_t index) { return *stages_[index]; }
  size_t stages() const { return stages_.size(); }
  const ModelConfig& config() const { return stages_[0]->config(); }

 private:
  ThreadPool pool_;
  std::vector<std::unique_ptr<Stage>> stages_;
};

SessionOpen OpenOf(uint64_t session, int32_t context_tokens, SamplingParams sampling = {});
Slice SliceOf(uint64_t session, int32_t position, std::vector<int32_t> tokens, Output output);

// All logits of `tokens`, fed in chunks of `chunk` tokens to a new session that may hold
// `context_tokens` (or just them, if that is more), closed afterwards.
std::vector<std::vector<float>> LogitsOf(Pipeline& pipeline, const std::vector<int32_t>& tokens,
                                         int32_t chunk, int32_t context_tokens = 0);

int64_t NowNs();

}  // namespace shoal::testing
