// Waiting for an engine's answer, for commands that have nothing else to do meanwhile.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>

#include "base/result.h"
#include "coordinator/engine.h"

namespace shoal {

// How a generation ended.
struct Ending {
  FinishReason reason = FinishReason::kError;
  std::optional<Error> error;
  GenerationStats stats;
};

// Set once by a sink, on the engine's thread; awaited by the command's.
class EndingFuture {
 public:
  void Set(FinishReason reason, const std::optional<Error>& error, const GenerationStats& stats) {
    {
      const std::lock_guard lock(mutex_);
      ending_ = Ending{reason, error, stats};
    }
    changed_.notify_all();
  }

  // Blocks until Set: the engine promises that every request ends.
  Ending Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ending_.has_value(); });
    return *ending_;
  }

 private:
  std::mutex mutex_;  // guards ending_
  std::condition_variable changed_;
  std::optional<Ending> ending_;
};

// Collects the tokens of one request.
class TokenCollector final : public GenerationSink {
 public:
  using LogitsHandler = std::function<void(const LogitsRow&)>;
  explicit TokenCollector(LogitsHandler on_logits = nullptr) : on_logits_(std::move(on_logits)) {}

  bool OnToken(const SampledToken& token) override {
    tokens_.push_back(token.token);
    return true;
  }
  void OnLogits(const LogitsRow& row) override {
    if (on_logits_) on_logits_(row);
  }
  void OnFinish(FinishReason reason, const std::optional<Error>& error,
                const GenerationStats& stats) override {
    ending_.Set(reason, error, stats);
  }

  Ending Wait() { return ending_.Wait(); }
  // After Wait.
  const std::vector<int32_t>& tokens() const { return tokens_; }

 private:
  LogitsHandler on_logits_;
  std::vector<int32_t> tokens_;
  EndingFuture ending_;
};

// Runs a request to its end; an Error if it was refused or ended with one.
inline Result<Ending> RunToEnd(Engine& engine, GenerationRequest request,
                               const std::shared_ptr<TokenCollector>& collector) {
  request.sink = collector;
  ASSIGN_OR_RETURN(const SessionId id, engine.Start(std::move(request)));
  static_cast<void>(id);
  Ending ending = collector->Wait();
  if (ending.error) return *ending.error;
  return ending;
}

}  // namespace shoal
