#include "coordinator/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace shoal {

namespace {

constexpr int64_t kExpireEveryNs = 100 * kNsPerMs;

}  // namespace

struct Engine::Generation {
  std::shared_ptr<GenerationSink> sink;
  std::vector<int32_t> end_ids;
  SessionRequest session;  // as it would have to be asked for now: the prompt grows with the answer
  GenerationStats stats;
  int64_t start_ns = 0;
  int64_t queued_ns = 0;  // when it began to wait for memory
  std::optional<int64_t> first_step_ns;
  std::optional<int64_t> first_token_ns;
  int64_t last_token_ns = 0;
};

Engine::Engine(const SchedulerOptions& options, const Clock& clock, int64_t queue_timeout_ns)
    : options_(options), clock_(clock), queue_timeout_ns_(queue_timeout_ns), scheduler_(options) {}

Engine::~Engine() = default;

Result<SessionId> Engine::Start(GenerationRequest request) {
  const std::lock_guard lock(mutex_);
  const bool ready = status_.state == EngineState::kReady;
  if (!ready && !expects_another_) return Unavailable(status_.detail);
  const SessionId id{next_session_++};
  Generation generation;
  generation.sink = std::move(request.sink);
  generation.end_ids = std::move(request.end_ids);
  generation.start_ns = generation.queued_ns = clock_.NowNs();
  generation.stats.prompt_tokens = static_cast<int32_t>(request.prompt.size());

  SessionRequest& session = generation.session;
  session.session = id;
  session.prompt = std::move(request.prompt);
  session.max_tokens = request.max_tokens;
  session.sampling = std::move(request.sampling);
  session.logits = request.logits;
  RETURN_IF_ERROR(ready ? scheduler_.Add(session) : Queue(session));
  generations_.emplace(id, std::move(generation));
  Pump();
  return id;
}

// Whether it may wait for the next pipeline, which ResumeAll gives it to.
Status Engine::Queue(const SessionRequest& session) {
  RETURN_IF_ERROR(scheduler_.Check(session));
  const auto waiting = static_cast<int64_t>(generations_.size());
  if (waiting < options_.max_queued) return OkStatus();
  return ResourceExhausted(fmt::format("{} requests are waiting already, the limit is {}", waiting,
                                       options_.max_queued));
}

void Engine::Cancel(SessionId session) {
  const std::lock_guard lock(mutex_);
  Finish(session, FinishReason::kCancelled, std::nullopt);
  Pump();
}

EngineStatus Engine::status() const {
  const std::lock_guard lock(mutex_);
  EngineStatus status = status_;
  status.running = scheduler_.running();
  status.queued = static_cast<int32_t>(generations_.size()) - status.running;
  return status;
}

void Engine::SetStarting(std::string detail) {
  const std::lock_guard lock(mutex_);
  if (status_.state == EngineState::kReady) return;
  status_.detail = std::move(detail);
  ExpireQueued();
}

void Engine::Attach(std::shared_ptr<Pipeline> pipeline, const PipelineLimits& limits) {
  const std::lock_guard lock(mutex_);
  pipeline_ = std::move(pipeline);
  epoch_ = limits.epoch;
  replaceable_ = limits.replaceable;
  expects_another_ = false;
  scheduler_.Attach(limits.epoch, limits.stages, limits.kv_tokens);
  status_ = {EngineState::kReady, "ready", 0, 0};
  ResumeAll();
  Pump();
}

void Engine::ResumeAll() {
  std::vector<std::pair<SessionId, Error>> refused;
  for (auto& [id, generation] : generations_) {
    const Status added = scheduler_.Add(generation.session);
    if (!added.ok()) refused.emplace_back(id, added.error());
  }
  for (const auto& [id, error] : refused) {
    Finish(id, FinishReason::kError, error.WithContext("after the loss of a node"));
  }
}

// Memory gets free with results, so that is when it is worth looking.
void Engine::ExpireQueued() {
  const bool ready = status_.state == EngineState::kReady;
  if (queue_timeout_ns_ == 0 || (ready && scheduler_.queued() == 0)) return;
  const int64_t now_ns = clock_.NowNs();
  if (now_ns - expired_at_ns_ < kExpireEveryNs) return;
  expired_at_ns_ = now_ns;
  std::vector<SessionId> expired;
  for (const auto& [id, generation] : generations_) {
    const bool waits = !ready || !scheduler_.admitted(id);
    if (waits && now_ns - generation.queued_ns > queue_timeout_ns_) expired.push_back(id);
  }
  const int64_t waited_s = queue_timeout_ns_ / kNsPerS;
  const Error error =
      Unavailable(ready ? fmt::format("waited {} s for memory that {} other requests hold",
                                      waited_s, scheduler_.running())
                        : fmt::format("waited {} s for the nodes: {}", waited_s, status_.detail));
  for (const SessionId id : expired) Finish(id, FinishReason::kError, error);
}

void Engine::GiveUp(const Error& error) {
  const std::lock_guard lock(mutex_);
  if (status_.state == EngineState::kReady) return;
  status_.detail = error.message;
  expects_another_ = false;
  FinishAll(error);
}

void Engine::FinishAll(const Error& error) {
  while (!generations_.empty()) {
    Finish(generations_.begin()->first, FinishReason::kError, error);
  }
}

void Engine::OnResult(StepResult result) {
  const std::lock_guard lock(mutex_);
  if (status_.state != EngineState::kReady || result.epoch != epoch_) return;
  if (steps_.count(result.id) == 0) {
    spdlog::error("a result of step {}, which is not in flight, is ignored", result.id.value);
    return;
  }
  Deliver(result);
  if (result.last) {
    steps_.erase(result.id);
    const Status done = scheduler_.OnStepDone(result.id);
    CHECK(done.ok(), done.error().message);
  }
  Pump();
}

void Engine::OnLost(Epoch epoch, Error error) {
  const std::lock_guard lock(mutex_);
  if (status_.state != EngineState::kReady || epoch != epoch_) return;
  status_ = {EngineState::kLost, error.message, 0, 0};
  for (auto& [id, generation] : generations_) {
    if (scheduler_.admitted(id)) generation.queued_ns = clock_.NowNs();
  }
  pipeline_.reset();
  steps_.clear();
  scheduler_.Reset();
  expects_another_ = replaceable_;
  if (!replaceable_) return FinishAll(error);
  std::vector<SessionId> partial;  // logits that have been reported are not reported again
  for (auto& [id, generation] : generations_) {
    ++generation.stats.replays;
    if (generation.session.logits) partial.push_back(id);
  }
  for (const SessionId id : partial) Finish(id, FinishReason::kError, error);
}

void Engine::Pump() {
  if (status_.state != EngineState::kReady) return;
  ExpireQueued();
  while (std::optional<Step> step = scheduler_.NextStep()) {
    const int64_t now_ns = clock_.NowNs();
    std::vector<SessionId>& sessions = steps_[step->id];
    for (const Slice& slice : step->slices) {
      sessions.push_back(slice.session);
      Generation& generation = generations_.at(slice.session);
      if (!generation.first_step_ns) generation.first_step_ns = now_ns;
    }
    const Status submitted = pipeline_->Submit(std::move(*step));
    if (!submitted.ok()) {
      spdlog::warn("cannot submit a step: {}", submitted.error().message);
      return;
    }
  }
}

void Engine::Deliver(const StepResult& result) {
  const int64_t now_ns = clock_.NowNs();
  for (const StageTiming& timing : result.timings) CountStageTime(result.id, timing);
  for (const LogitsRow& row : result.logits) {
    const auto it = generations_.find(row.session);
    if (it == generations_.end() || !it->second.session.logits) continue;
    Generation& generation = it->second;
    generation.sink->OnLogits(row);
    if (row.position + 1 == generation.stats.prompt_tokens) {
      generation.first_token_ns = generation.last_token_ns = now_ns;
      Finish(row.session, FinishReason::kLength, std::nullopt);
    }
  }
  for (const SampledToken& token : result.tokens) {
    const auto it = generations_.find(token.session);
    if (it == generations_.end()) continue;
    Generation& generation = it->second;
    if (!generation.first_token_ns) generation.first_token_ns = now_ns;
    generation.last_token_ns = now_ns;
    const std::vector<int32_t>& ends = generation.end_ids;
    if (std::find(ends.begin(), ends.end(), token.token) != ends.end()) {
      Finish(token.session, FinishReason::kEndToken, std::nullopt);
      continue;
    }
    ++generation.stats.answer_tokens;
    const bool wanted = generation.sink->OnToken(token);
    if (!wanted) {
      Finish(token.session, FinishReason::kStopped, std::nullopt);
    } else if (!scheduler_.OnToken(token.session, token.token)) {
      Finish(token.session, FinishReason::kLength, std::nullopt);
    } else {
      generation.session.prompt.push_back(token.token);
      ++generation.session.answered_tokens;
      --generation.session.max_tokens;
    }
  }
}

void Engine::CountStageTime(StepId step, const StageTiming& timing) {
  const auto sessions = steps_.find(step);
  if (sessions == steps_.end() || timing.stage < 0 || timing.stage >= kMaxStages) return;
  const auto stage = static_cast<size_t>(timing.stage);
  for (const SessionId id : sessions->second) {
    const auto it = generations_.find(id);
    if (it == generations_.end()) continue;
    std::vector<int64_t>& times = it->second.stats.stage_compute_ns;
    if (times.size() <= stage) times.resize(stage + 1);
    times[stage] += timing.compute_ns;
  }
}

void Engine::Finish(SessionId session, FinishReason reason, std::optional<Error> error) {
  const auto it = generations_.find(session);
  if (it == generations_.end()) return;
  Generation generation = std::move(it->second);
  generations_.erase(it);
  scheduler_.Remove(session);
  GenerationStats& stats = generation.stats;
  const int64_t now_ns = clock_.NowNs();
  const int64_t first_step_ns = generation.first_step_ns.value_or(now_ns);
  stats.queued_ns = first_step_ns - generation.start_ns;
  if (generation.first_token_ns) {
    stats.prefill_ns = *generation.first_token_ns - first_step_ns;
    stats.decode_ns = generation.last_token_ns - *generation.first_token_ns;
  }
  generation.sink->OnFinish(reason, error, stats);
}

}  // namespace shoal
