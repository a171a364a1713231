// The engine: requests in, tokens out. Owns the scheduler and drives one pipeline; knows tokens,
// not text (coordinator/text_stream.h) and not HTTP (coordinator/api).
//
// A request outlives its pipeline: when a replaceable one is lost, requests wait, and the next one
// computes their prompts and answers so far anew and goes on. Since logits do not depend on how a
// model is split and draws only on seed and position, the text is the one it would have been.
//
// Thread rule: every function is safe from any thread and none blocks on the pipeline. Sinks are
// called with the engine's lock held, on whichever thread delivered the event: they return quickly
// and never call the engine.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "coordinator/pipeline.h"
#include "coordinator/scheduler.h"
#include "model/step/step.h"

namespace shoal {

enum class FinishReason {
  kEndToken,   // the model ended its answer
  kStopped,    // the sink said so (a stop string)
  kLength,     // max_tokens or the context is full
  kCancelled,  // the client gave up
  kError,      // `error` says what and where
};

struct GenerationStats {
  int32_t prompt_tokens = 0;
  int32_t answer_tokens = 0;
  int64_t queued_ns = 0;                  // from Start to the first step
  int64_t prefill_ns = 0;                 // from the first step to the first token
  int64_t decode_ns = 0;                  // from the first token to the last
  std::vector<int64_t> stage_compute_ns;  // in steps that this session took part in
  int32_t replays = 0;                    // pipelines that were lost on the way
};

// What a request hears. OnFinish is called exactly once and is the last call.
class GenerationSink {
 public:
  virtual ~GenerationSink() = default;
  // An end token is not reported. Returns false to stop after this token.
  virtual bool OnToken(const SampledToken& token) = 0;
  // All logits of one position; only for requests with `logits`.
  virtual void OnLogits(const LogitsRow& row) { static_cast<void>(row); }
  // `error` is set for kError only.
  virtual void OnFinish(FinishReason reason, const std::optional<Error>& error,
                        const GenerationStats& stats) = 0;
};

struct GenerationRequest {
  std::vector<int32_t> prompt;  // at least one token
  SamplingParams sampling;
  int32_t max_tokens = 0;  // >= 1; of no use with `logits`
  std::vector<int32_t> end_ids;
  bool logits = false;  // report the logits of every prompt position, and end there
  std::shared_ptr<GenerationSink> sink;  // shared with the caller, which may read what it collected
};

enum class EngineState {
  kStarting,  // stages are being loaded and linked; `detail` says how far
  kReady,     // every stage answered
  kLost,      // a stage is gone; `detail` names it; being brought back
};

struct EngineStatus {
  EngineState state = EngineState::kStarting;
  std::string detail;
  int32_t running = 0;  // requests that hold KV memory
  int32_t queued = 0;   // that wait for it, or for a pipeline
};

constexpr int32_t kMaxStages = 256;  // of one pipeline

class Engine : public PipelineListener {
 public:
  // `clock` outlives the engine. Requests that wait for memory, or for a lost pipeline to be
  // replaced, for longer than `queue_timeout_ns` end with kUnavailable; 0: they wait for as long as
  // it takes.
  Engine(const SchedulerOptions& options, const Clock& clock, int64_t queue_timeout_ns = 0);
  ~Engine() override;

  // While a lost pipeline is being replaced, requests wait like those that lost it.
  // Errors: kUnavailable (not ready: the message has the detail), kInvalidArgument (an empty
  // prompt, prompt longer than the context: both lengths named; more than the devices have memory
  // for), kResourceExhausted (too many queued). On error the sink is never called.
  Result<SessionId> Start(GenerationRequest request);
  // The sink hears kCancelled if it has not finished yet; unknown ids are ignored.
  void Cancel(SessionId session);
  EngineStatus status() const;
  int32_t context_length() const { return options_.context_tokens; }

  // Life of the pipeline, told by whoever builds it: SetStarting several times a second while there
  // is none. A pipeline is used until OnLost.
  void SetStarting(std::string detail);
  void Attach(std::shared_ptr<Pipeline> pipeline, const PipelineLimits& limits);

  // No pipeline will follow the lost one in time: ends the requests that wait with `error`. New
  // ones are refused until Attach. No effect while a pipeline is attached.
  void GiveUp(const Error& error);

  // PipelineListener: from the pipeline's threads.
  void OnResult(StepResult result) override;
  void OnLost(Epoch epoch, Error error) override;

 private:
  struct Generation;
  void ResumeAll();
  void ExpireQueued();
  Status Queue(const SessionRequest& session);
  void FinishAll(const Error& error);
  void Pump();  // submits whatever the scheduler has ready; lock held
  void Deliver(const StepResult& result);
  void CountStageTime(StepId step, const StageTiming& timing);
  void Finish(SessionId session, FinishReason reason, std::optional<Error> error);

  const SchedulerOptions options_;
  const Clock& clock_;
  const int64_t queue_timeout_ns_;
  mutable std::mutex mutex_;  // guards everything below
  Scheduler scheduler_;
  std::shared_ptr<Pipeline> pipeline_;  // second owner: its builder, which tears it down
  Epoch epoch_;
  bool replaceable_ = false;      // is pipeline_
  bool expects_another_ = false;  // lost one, and nobody has given up
  EngineStatus status_;
  uint64_t next_session_ = 1;
  int64_t expired_at_ns_ = 0;  // when queued requests were last looked through
  std::map<SessionId, Generation> generations_;
  std::map<StepId, std::vector<SessionId>> steps_;  // in flight, with the sessions they serve
};

}  // namespace shoal
