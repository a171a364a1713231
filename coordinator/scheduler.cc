#include "coordinator/scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace shoal {

namespace {

int32_t RoundUpToGrant(int64_t tokens) {
  constexpr int64_t kGrant = StepLimits::kKvGrantTokens;
  return static_cast<int32_t>((tokens + kGrant - 1) / kGrant * kGrant);
}

void EraseFrom(std::deque<SessionId>& list, SessionId id) {
  list.erase(std::find(list.begin(), list.end(), id));
}

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options) : options_(options) {
  CHECK(options.max_running >= 1 && options.step_token_budget >= 1, "something must run");
}

int64_t Scheduler::MostRunning() const {
  const int64_t slices_of_step = std::min(options_.step_token_budget, StepLimits::kMaxSlices);
  return std::min<int64_t>(options_.max_running, max_in_flight_ * slices_of_step);
}

void Scheduler::Attach(Epoch epoch, int32_t max_in_flight, int64_t kv_tokens) {
  CHECK(sessions_.empty(), "a new pipeline begins without sessions");
  CHECK(max_in_flight >= 1, "at least one step must be allowed");
  epoch_ = epoch;
  max_in_flight_ = max_in_flight;
  kv_tokens_ = kv_tokens;
}

void Scheduler::Reset() {
  max_in_flight_ = 0;
  kv_tokens_ = 0;
  kv_tokens_granted_ = 0;
  running_ = 0;
  sessions_.clear();
  waiting_.clear();
  prefilling_.clear();
  ready_.clear();
  closes_.clear();
  in_flight_.clear();
}

Status Scheduler::Check(const SessionRequest& request) const {
  const auto prompt_tokens = static_cast<int64_t>(request.prompt.size());
  if (prompt_tokens == 0)
    return InvalidArgument("the prompt is empty: at least one token is needed");
  if (prompt_tokens > options_.context_tokens) {
    return InvalidArgument(fmt::format("the prompt has {} tokens, the context length is {}",
                                       prompt_tokens, options_.context_tokens));
  }
  if (options_.vocab_size > 0) {
    for (const int32_t token : request.prompt) {
      if (token >= 0 && token < options_.vocab_size) continue;
      return InvalidArgument(fmt::format("token {} of the prompt is outside the vocabulary of {}",
                                         token, options_.vocab_size));
    }
  }
  return OkStatus();
}

Status Scheduler::Add(SessionRequest request) {
  RETURN_IF_ERROR(Check(request));
  const auto prompt_tokens = static_cast<int64_t>(request.prompt.size());
  Session session;
  const int64_t wanted =
      std::min<int64_t>(prompt_tokens + request.max_tokens, options_.context_tokens);
  const int32_t grant = RoundUpToGrant(wanted);
  if (grant > kv_tokens_) {
    return InvalidArgument(
        fmt::format("the request needs KV memory for {} tokens, the devices have room for {}",
                    grant, kv_tokens_));
  }
  if (queued() >= options_.max_queued) {
    return ResourceExhausted(fmt::format("{} requests are waiting already, the limit is {}",
                                         queued(), options_.max_queued));
  }
  const SessionId id = request.session;
  session.request = std::move(request);
  CHECK(sessions_.emplace(id, std::move(session)).second, "session ids are used once");
  waiting_.push_back(id);
  AdmitWaiting();
  return OkStatus();
}

void Scheduler::AdmitWaiting() {
  while (!waiting_.empty() && running_ < MostRunning()) {
    Session& session = sessions_.at(waiting_.front());
    const auto prompt_tokens = static_cast<int64_t>(session.request.prompt.size());
    const int32_t grant = RoundUpToGrant(
        std::min<int64_t>(prompt_tokens + session.request.max_tokens, options_.context_tokens));
    if (kv_tokens_granted_ + grant > kv_tokens_) return;
    session.granted_tokens = grant;
    kv_tokens_granted_ += grant;
    ++running_;
    prefilling_.push_back(waiting_.front());
    waiting_.pop_front();
  }
}

void Scheduler::Remove(SessionId id) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end()) return;
  const Session& session = it->second;
  if (session.granted_tokens == 0) {
    EraseFrom(waiting_, id);
  } else {
    if (session.prompt_left() > 0) EraseFrom(prefilling_, id);
    if (session.ready_token) EraseFrom(ready_, id);
    kv_tokens_granted_ -= session.granted_tokens;
    --running_;
    if (session.opened) closes_.push_back(id);
  }
  sessions_.erase(it);
  AdmitWaiting();
}

std::optional<Step> Scheduler::NextStep() {
  if (!HasRoomForStep()) return std::nullopt;
  Step step;
  int32_t budget = std::min(options_.step_token_budget, StepLimits::kMaxTokens);
  AddDecodeSlices(step, budget);
  AddPrefillSlices(step, budget);
  if (step.slices.empty() && closes_.empty()) return std::nullopt;

  const auto closes = std::min<size_t>(closes_.size(), StepLimits::kMaxCloses);
  step.closes.assign(closes_.begin(), closes_.begin() + static_cast<ptrdiff_t>(closes));
  closes_.erase(closes_.begin(), closes_.begin() + static_cast<ptrdiff_t>(closes));
  step.epoch = epoch_;
  step.id = StepId{next_step_++};
  in_flight_.insert(step.id);
  return step;
}

// Where links are slow a chunk on its way fills a link as it fills a stage, so there are more than
// one for each stage; but a token to decode would have to wait behind them.
bool Scheduler::HasRoomForStep() const {
  const bool only_prompts = static_cast<int32_t>(prefilling_.size()) == running_;
  return in_flight() < (only_prompts ? 2 * max_in_flight_ : max_in_flight_);
}

// At most an equal share of the running sessions goes into one step, so that the steps in flight
// keep every stage busy.
void Scheduler::AddDecodeSlices(Step& step, int32_t& budget) {
  const int32_t share = (running_ + max_in_flight_ - 1) / max_in_flight_;
  const int32_t most = std::min({share, budget, StepLimits::kMaxSlices});
  for (int32_t taken = 0; taken < most && !ready_.empty(); ++taken) {
    Session& session = sessions_.at(ready_.front());
    ready_.pop_front();
    const int32_t token = *std::exchange(session.ready_token, std::nullopt);
    step.slices.push_back(MakeSlice(session, {token}, Output::kSample, step));
    --budget;
  }
}

void Scheduler::AddPrefillSlices(Step& step, int32_t& budget) {
  const auto full = [&] {
    return budget == 0 || static_cast<int32_t>(step.slices.size()) >= StepLimits::kMaxSlices;
  };
  for (auto it = prefilling_.begin(); it != prefilling_.end() && !full();) {
    Session& session = sessions_.at(*it);
    const int32_t left = session.prompt_left();
    const int32_t count = std::min({left, options_.prefill_chunk, budget});
    const auto first = session.request.prompt.begin() + session.next_position;
    Output output = count == left ? Output::kSample : Output::kNone;
    if (session.request.logits) output = Output::kLogits;
    step.slices.push_back(
        MakeSlice(session, std::vector<int32_t>(first, first + count), output, step));
    budget -= count;
    it = count == left ? prefilling_.erase(it) : std::next(it);
  }
}

Slice Scheduler::MakeSlice(Session& session, std::vector<int32_t> tokens, Output output,
                           Step& step) {
  const SessionRequest& request = session.request;
  if (!session.opened) {
    SessionOpen open;
    open.session = request.session;
    open.context_tokens = session.granted_tokens;
    open.prompt_tokens = static_cast<int32_t>(request.prompt.size()) - request.answered_tokens;
    open.sampling = request.sampling;
    step.opens.push_back(std::move(open));
    session.opened = true;
  }
  Slice slice;
  slice.session = request.session;
  slice.position = session.next_position;
  slice.token_count = static_cast<int32_t>(tokens.size());
  slice.output = output;
  slice.tokens = std::move(tokens);
  session.next_position += slice.token_count;
  return slice;
}

Status Scheduler::OnStepDone(StepId step) {
  if (in_flight_.erase(step) == 0) {
    return FailedPrecondition(fmt::format("step {} came back, but is not in flight", step.value));
  }
  return OkStatus();
}

bool Scheduler::OnToken(SessionId id, int32_t token) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end()) return true;
  Session& session = it->second;
  if (session.prompt_left() > 0 || session.ready_token) return true;
  ++session.answer_tokens;
  if (session.answer_tokens >= session.request.max_tokens) return false;
  if (session.next_position >= std::min(session.granted_tokens, options_.context_tokens))
    return false;
  session.ready_token = token;
  ready_.push_back(id);
  return true;
}

bool Scheduler::admitted(SessionId id) const {
  const auto it = sessions_.find(id);
  return it != sessions_.end() && it->second.granted_tokens > 0;
}

}  // namespace shoal
