// One stage of a pipeline: the weights of a layer range, the KV caches of the sessions that were
// opened on it, and the forward pass of a step over them. The first stage (range.begin == 0) also
// looks up the token embedding; the last (range.end == layers) applies the final norm and the head,
// and samples.
//
// Promise 1: logits depend only on the model and a session's tokens, never on the range, the other
// slices in a step, how a prompt is cut into slices, the number of threads or the instruction set.
//
// Memory: weights once (packed for the instruction set, or mapped as they are in the file), KV
// pages as sessions grow up to what they were granted, and activation buffers for
// StepLimits::kMaxTokens at most. Nothing is allocated per token but KV pages.
//
// Thread rule: belongs to one thread; uses `pool` inside a call.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "model/gguf/gguf_file.h"
#include "model/step/step.h"
#include "model/transformer/config.h"

namespace shoal {

struct StageOptions {
  LayerRange range;
  int32_t stage_index = 0;
  TensorType kv_type = TensorType::kF16;  // REQUIRES IsKvType
  int64_t kv_budget_bytes = 0;  // of all sessions together; a session that does not fit is refused
  int64_t most_weight_bytes = INT64_MAX;  // resident; else the stage is not loaded
};

// Where loading stands; read by another thread while Load runs, which may give it up.
struct LoadProgress {
  std::atomic<bool> cancelled{false};
  std::atomic<int64_t> bytes_done{0};
  std::atomic<int64_t> bytes_total{0};
};

struct StageMemory {
  int64_t weights_bytes = 0;  // resident weights, packed or mapped
  int64_t kv_bytes = 0;       // pages in use now
  int64_t buffer_bytes = 0;
};

class Stage {
 public:
  // `file` outlives the stage and may be shared. Errors: a missing tensor, a shape or type that
  // does not fit the config, a range outside [0, layers); kCancelled.
  static Result<std::unique_ptr<Stage>> Load(std::shared_ptr<const GgufFile> file,
                                             const ModelConfig& config, const StageOptions& options,
                                             const kernels::KernelTable& kernels, ThreadPool& pool,
                                             LoadProgress* progress);
  ~Stage();

  const ModelConfig& config() const;
  const StageOptions& options() const;
  bool is_first() const { return options().range.begin == 0; }
  bool is_last() const { return options().range.end == config().layers; }
  StageMemory memory() const;
  int64_t weight_bytes_per_token() const;  // read from memory for one decoded token

  // Runs a step: applies its closes and opens, then computes its slices. On any stage but the last,
  // `step` is afterwards what the next stage gets: activations [tokens, model_dim] replaced, tokens
  // dropped where no later stage needs them, own timing appended; `result` is left alone. On the
  // last, `result` holds the answer.
  //
  // `clock_ns` gives monotonic nanoseconds for the timings.
  //
  // Closing a session that is not open is harmless. An open that fails undoes the step's other
  // opens and nothing is computed.
  //
  // Errors leave the sessions of the step's slices unusable (close them), all others as they were:
  // an unknown session, a position that is not the session's next, more tokens than granted, a
  // token id outside the vocabulary, activations of the wrong size, no KV memory left.
  Status Run(Step& step, StepResult& result, int64_t (*clock_ns)());

  // Forgets every session.
  void CloseAll();
  size_t open_sessions() const;

 private:
  struct State;
  explicit Stage(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace shoal
