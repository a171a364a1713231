// What flows through a pipeline, as plain values: the step that the scheduler forms, the
// activations between stages, and what the last stage answers. Shared by coordinator, node,
// transformer and the wire (net/wire); says nothing about how it travels.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace shoal {

struct SessionId {
  uint64_t value = 0;
  auto operator<=>(const SessionId&) const = default;
};
struct StepId {
  uint64_t value = 0;
  auto operator<=>(const StepId&) const = default;
};
// The plan's number. Every message carries it and a node refuses any other.
struct Epoch {
  uint64_t value = 0;
  auto operator<=>(const Epoch&) const = default;
};

// Layers [begin, end) of a model.
struct LayerRange {
  int32_t begin = 0;
  int32_t end = 0;
  int32_t size() const { return end - begin; }
  auto operator<=>(const LayerRange&) const = default;
};

// How the last stage turns logits into a token. The order is: logit bias, penalties, (greedy if
// temperature is 0), temperature, top-k, top-p, min-p, draw. The draw depends only on the seed and
// the token's position, so a replay continues the very same text.
struct SamplingParams {
  float temperature = 0;         // 0: greedy, lowest id on ties
  int32_t top_k = 0;             // 0: off
  float top_p = 1;               // 1: off
  float min_p = 0;               // 0: off
  float repetition_penalty = 1;  // 1: off; over prompt and answer
  float presence_penalty = 0;    // over the answer
  float frequency_penalty = 0;   // over the answer
  uint64_t seed = 0;
  int32_t logprobs = -1;  // -1: none; k: of the token and of the k likeliest
  std::vector<std::pair<int32_t, float>> logit_bias;  // token id, added to its logit

  // Whether the last stage must know the session's tokens.
  bool NeedsHistory() const {
    return repetition_penalty != 1 || presence_penalty != 0 || frequency_penalty != 0;
  }
};

// Named limits of a step; the wire refuses what exceeds them.
struct StepLimits {
  static constexpr int32_t kMaxSlices = 256;
  static constexpr int32_t kMaxTokens = 1024;  // of all slices of one step
  static constexpr int32_t kMaxOpens = 256;
  static constexpr int32_t kMaxCloses = 4096;
  static constexpr int32_t kMaxLogitBias = 1024;
  static constexpr int32_t kMaxLogprobs = 20;
  static constexpr int32_t kMaxContextTokens = 1 << 20;
  // KV memory is granted in whole pages of this many tokens.
  static constexpr int32_t kKvGrantTokens = 32;
};

// Grants a session its KV cache on every stage.
struct SessionOpen {
  SessionId session;
  int32_t context_tokens = 0;  // the most positions it will ever hold
  int32_t prompt_tokens =
      0;  // how many of them are the prompt: penalties tell them from the answer
  SamplingParams sampling;
};

enum class Output : uint8_t {
  kNone,    // fills the cache only
  kSample,  // the last position of the slice is sampled
  kLogits,  // all logits of every position come back (for tests and tools)
};

// Consecutive tokens of one session.
struct Slice {
  SessionId session;
  int32_t position = 0;     // of the first token
  int32_t token_count = 0;  // >= 1
  Output output = Output::kNone;
  // The tokens themselves [token_count]: for the first stage, and for the last where the session's
  // sampling needs history; otherwise empty.
  std::vector<int32_t> tokens;
};

// Where one stage's time went.
struct StageTiming {
  int32_t stage = 0;
  int64_t compute_ns = 0;
};

// Closes come first, then opens, then slices.
struct Step {
  Epoch epoch;
  StepId id;
  std::vector<SessionId> closes;
  std::vector<SessionOpen> opens;
  std::vector<Slice> slices;
  // [tokens of all slices, model_dim], slices in order; empty on the way to the first stage.
  std::vector<float> activations;
  std::vector<StageTiming> timings;  // of the stages passed so far

  int32_t token_count() const {
    int32_t sum = 0;
    for (const Slice& slice : slices) sum += slice.token_count;
    return sum;
  }
};

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0;  // natural logarithm, of the distribution before temperature and truncation
};

struct SampledToken {
  SessionId session;
  int32_t position = 0;  // of the sampled token: one past the slice's last
  int32_t token = 0;
  float logprob = 0;              // if asked for
  std::vector<TokenLogprob> top;  // likeliest first, if asked for
};

// One position's logits.
struct LogitsRow {
  SessionId session;
  int32_t position = 0;  // of the token that was read
  std::vector<float> logits;
};

// What the last stage answers, straight to the coordinator. The rows of a step may come in several
// messages, in order; `last` marks the end.
struct StepResult {
  Epoch epoch;
  StepId id;
  bool last = true;
  std::vector<SampledToken> tokens;
  std::vector<LogitsRow> logits;
  std::vector<StageTiming> timings;  // in the last message
};

}  // namespace shoal
