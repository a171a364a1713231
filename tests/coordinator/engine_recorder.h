// For tests of the engine: a pipeline and a sink that only record, and the answers to steps.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "coordinator/engine.h"

namespace shoal {

constexpr int32_t kEndId = 2;

class RecordingPipeline final : public Pipeline {
 public:
  Status Submit(Step step) override {
    if (broken) return Unavailable("the link broke");
    steps.push_back(std::move(step));
    return OkStatus();
  }
  std::deque<Step> steps;
  bool broken = false;
};

class RecordingSink final : public GenerationSink {
 public:
  explicit RecordingSink(size_t most_tokens = 1'000'000) : most_tokens_(most_tokens) {}

  bool OnToken(const SampledToken& token) override {
    calls_after_end += finishes > 0;
    tokens.push_back(token.token);
    return tokens.size() < most_tokens_;
  }
  void OnLogits(const LogitsRow& row) override {
    calls_after_end += finishes > 0;
    logits_positions.push_back(row.position);
  }
  void OnFinish(FinishReason why, const std::optional<Error>& cause,
                const GenerationStats& measured) override {
    const std::lock_guard lock(mutex_);
    ++finishes;
    reason = why;
    error = cause;
    stats = measured;
    finished_.notify_all();
  }
  bool WaitForFinish() {
    constexpr std::chrono::seconds kLongest{60};
    std::unique_lock lock(mutex_);
    return finished_.wait_for(lock, kLongest, [this] { return finishes > 0; });
  }

  std::vector<int32_t> tokens;
  std::vector<int32_t> logits_positions;
  int finishes = 0;
  int calls_after_end = 0;
  FinishReason reason = FinishReason::kError;
  std::optional<Error> error;
  GenerationStats stats;

 private:
  const size_t most_tokens_;
  std::mutex mutex_;
  std::condition_variable finished_;
};

inline SchedulerOptions SmallOptions() {
  SchedulerOptions options;
  options.context_tokens = 64;
  options.prefill_chunk = 8;
  options.max_running = 2;
  options.max_queued = 4;
  return options;
}

inline GenerationRequest Request(int32_t prompt_tokens, int32_t max_tokens,
                                 std::shared_ptr<RecordingSink> sink) {
  GenerationRequest request;
  request.prompt.assign(static_cast<size_t>(prompt_tokens), 5);
  request.max_tokens = max_tokens;
  request.end_ids = {kEndId};
  request.sink = std::move(sink);
  return request;
}

// `token` for each slice that asks for one, and a row for each position that asks for logits.
inline StepResult Answer(const Step& step, int32_t token) {
  StepResult result;
  result.epoch = step.epoch;
  result.id = step.id;
  for (const Slice& slice : step.slices) {
    const int32_t end = slice.position + slice.token_count;
    if (slice.output == Output::kSample) {
      result.tokens.push_back({slice.session, end, token, 0, {}});
    }
    if (slice.output != Output::kLogits) continue;
    for (int32_t i = slice.position; i < end; ++i) {
      result.logits.push_back({slice.session, i, {0.5F}});
    }
  }
  return result;
}

}  // namespace shoal
