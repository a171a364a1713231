#include "tests/coordinator/scheduler_model.h"

#include <rapidcheck.h>

#include <algorithm>
#include <iterator>
#include <set>

namespace shoal {

std::ostream& operator<<(std::ostream& out, const SchedulerCase& drawn) {
  const SchedulerOptions& options = drawn.options;
  return out << "context " << options.context_tokens << ", chunk " << options.prefill_chunk
             << ", budget " << options.step_token_budget << ", running " << options.max_running
             << ", queued " << options.max_queued << ", in flight " << drawn.max_in_flight
             << ", kv " << drawn.kv_tokens;
}

std::ostream& operator<<(std::ostream& out, const SchedulerEvent& event) {
  switch (event.kind) {
    case SchedulerEvent::kAdd:
      return out << "add(" << event.prompt_tokens << "+" << event.max_tokens
                 << (event.logits ? ", logits)" : ")");
    case SchedulerEvent::kStep: return out << "step";
    case SchedulerEvent::kDone: return out << "done";
    case SchedulerEvent::kRemove: return out << "remove(" << event.which << ")";
  }
  return out;
}

SchedulerModel::SchedulerModel(const SchedulerCase& drawn)
    : case_(drawn), scheduler_(drawn.options) {
  scheduler_.Attach(Epoch{7}, case_.max_in_flight, case_.kv_tokens);
}

void SchedulerModel::Apply(const SchedulerEvent& event) {
  switch (event.kind) {
    case SchedulerEvent::kAdd: Add(event); break;
    case SchedulerEvent::kStep: Submit(); break;
    case SchedulerEvent::kDone: FinishOldest(); break;
    case SchedulerEvent::kRemove:
      if (alive_.empty()) break;
      Remove(std::next(alive_.begin(), event.which % static_cast<int32_t>(alive_.size()))->first);
      break;
  }
  CheckAdmission();
}

int32_t SchedulerModel::PromptToken(SessionId id, int32_t position) const {
  return static_cast<int32_t>(id.value) * 1000 + position;
}

// Whole grants of 32 tokens that hold the prompt and the answer, but no more than the context.
int32_t SchedulerModel::Grant(const Session& session) const {
  const int32_t wanted =
      std::min(session.prompt_tokens + session.max_tokens, case_.options.context_tokens);
  return (wanted + 31) / 32 * 32;
}

// No more than the steps in flight have room for.
int32_t SchedulerModel::MostRunning() const {
  return std::min(case_.options.max_running, case_.max_in_flight * case_.options.step_token_budget);
}

void SchedulerModel::Add(const SchedulerEvent& event) {
  const SessionId id{next_session_++};
  Session session;
  session.prompt_tokens = event.prompt_tokens;
  session.max_tokens = event.logits ? 0 : event.max_tokens;
  session.logits = event.logits;

  SessionRequest request;
  request.session = id;
  request.max_tokens = session.max_tokens;
  request.logits = event.logits;
  request.sampling.seed = id.value;
  for (int32_t i = 0; i < event.prompt_tokens; ++i) request.prompt.push_back(PromptToken(id, i));

  const bool too_long = event.prompt_tokens > case_.options.context_tokens;
  const bool full = scheduler_.queued() >= case_.options.max_queued;
  const bool too_large = Grant(session) > case_.kv_tokens;
  const Status added = scheduler_.Add(std::move(request));
  RC_ASSERT(added.ok() == !(too_long || full || too_large));
  RC_ASSERT(scheduler_.knows(id) == added.ok());
  if (added.ok()) {
    alive_[id] = session;
  } else {
    RC_ASSERT(added.error().code == (too_long || too_large ? ErrorCode::kInvalidArgument
                                                           : ErrorCode::kResourceExhausted));
  }
}

void SchedulerModel::Remove(SessionId id) {
  alive_.erase(id);
  scheduler_.Remove(id);
  RC_ASSERT(!scheduler_.knows(id));
}

bool SchedulerModel::Submit() {
  const bool only_prompts = std::none_of(alive_.begin(), alive_.end(), [&](const auto& entry) {
    return scheduler_.admitted(entry.first) && entry.second.sent >= entry.second.prompt_tokens;
  });
  std::optional<Step> step = scheduler_.NextStep();
  if (!step) return false;
  RC_ASSERT(static_cast<int32_t>(in_flight_.size()) < (only_prompts ? 2 : 1) * case_.max_in_flight);
  RC_ASSERT(step->epoch == Epoch{7});
  RC_ASSERT(step->id.value > last_step_);
  last_step_ = step->id.value;
  RC_ASSERT(!step->slices.empty() || !step->closes.empty());
  RC_ASSERT(static_cast<int32_t>(step->slices.size()) <= StepLimits::kMaxSlices);
  RC_ASSERT(step->token_count() <= case_.options.step_token_budget);

  CheckOpens(*step);
  std::set<SessionId> seen;
  int32_t decodes = 0;
  for (const Slice& slice : step->slices) {
    RC_ASSERT(seen.insert(slice.session).second);
    if (alive_.at(slice.session).ready) ++decodes;
    CheckSlice(slice);
  }
  const int32_t k = case_.max_in_flight;
  RC_ASSERT(decodes <= (scheduler_.running() + k - 1) / k);
  in_flight_.push_back(std::move(*step));
  RC_ASSERT(scheduler_.in_flight() == static_cast<int32_t>(in_flight_.size()));
  return true;
}

// Closes come first, then opens: what the stages hold never exceeds what they granted.
void SchedulerModel::CheckOpens(const Step& step) {
  for (const SessionId id : step.closes) {
    RC_ASSERT(open_.erase(id) == 1);
    RC_ASSERT(alive_.count(id) == 0);
    RC_ASSERT(!std::exchange(opened_.at(id), true));
  }
  for (const SessionOpen& open : step.opens) {
    RC_ASSERT(opened_.emplace(open.session, false).second);
    const Session& session = alive_.at(open.session);
    RC_ASSERT(session.sent == 0);
    RC_ASSERT(open.context_tokens == Grant(session));
    RC_ASSERT(open.prompt_tokens == session.prompt_tokens);
    RC_ASSERT(open.sampling.seed == open.session.value);
    RC_ASSERT(std::any_of(step.slices.begin(), step.slices.end(),
                          [&](const Slice& slice) { return slice.session == open.session; }));
    open_[open.session] = open.context_tokens;
  }
  int64_t held = 0;
  for (const auto& [id, tokens] : open_) held += tokens;
  RC_ASSERT(held <= case_.kv_tokens);
}

void SchedulerModel::CheckSlice(const Slice& slice) {
  RC_ASSERT(open_.count(slice.session) == 1);
  Session& session = alive_.at(slice.session);
  RC_ASSERT(slice.token_count >= 1);
  RC_ASSERT(slice.tokens.size() == static_cast<size_t>(slice.token_count));
  RC_ASSERT(slice.position == session.sent);
  RC_ASSERT(slice.position + slice.token_count <= case_.options.context_tokens);
  session.sent += slice.token_count;
  if (slice.position >= session.prompt_tokens) {  // decode
    RC_ASSERT(session.ready.has_value());
    RC_ASSERT(slice.tokens == std::vector<int32_t>{*session.ready});
    RC_ASSERT(slice.output == Output::kSample);
    session.ready.reset();
    return;
  }
  RC_ASSERT(slice.token_count <= case_.options.prefill_chunk);
  RC_ASSERT(session.sent <= session.prompt_tokens);
  for (int32_t i = 0; i < slice.token_count; ++i) {
    RC_ASSERT(slice.tokens[static_cast<size_t>(i)] ==
              PromptToken(slice.session, slice.position + i));
  }
  const Output at_end = session.sent == session.prompt_tokens ? Output::kSample : Output::kNone;
  RC_ASSERT(slice.output == (session.logits ? Output::kLogits : at_end));
}

void SchedulerModel::FinishOldest() {
  if (in_flight_.empty()) return;
  const Step step = std::move(in_flight_.front());
  in_flight_.pop_front();
  for (const Slice& slice : step.slices) {
    const int32_t token = 500'000 + slice.position;
    const auto it = alive_.find(slice.session);
    if (it == alive_.end()) {  // removed meanwhile: ignored
      RC_ASSERT(scheduler_.OnToken(slice.session, token));
      continue;
    }
    Session& session = it->second;
    if (slice.output == Output::kLogits && session.sent == session.prompt_tokens) {
      if (slice.position + slice.token_count == session.sent) Remove(slice.session);
    }
    if (slice.output != Output::kSample) continue;
    ++session.answers;
    const int32_t room = case_.options.context_tokens - session.prompt_tokens + 1;
    const bool more = session.answers < std::min(session.max_tokens, room);
    RC_ASSERT(scheduler_.OnToken(slice.session, token) == more);
    if (more) {
      session.ready = token;
    } else {
      Remove(slice.session);
    }
  }
  RC_ASSERT(scheduler_.OnStepDone(step.id).ok());
  RC_ASSERT(!scheduler_.OnStepDone(step.id).ok());
}

// Those admitted are the first of those alive, none waits that would fit, and the sums are right.
void SchedulerModel::CheckAdmission() const {
  int32_t running = 0;
  int64_t granted = 0;
  const Session* head = nullptr;
  for (const auto& [id, session] : alive_) {
    RC_ASSERT(scheduler_.knows(id));
    if (scheduler_.admitted(id)) {
      RC_ASSERT(head == nullptr);
      ++running;
      granted += Grant(session);
    } else if (head == nullptr) {
      head = &session;
    }
  }
  RC_ASSERT(scheduler_.running() == running);
  RC_ASSERT(scheduler_.queued() == static_cast<int32_t>(alive_.size()) - running);
  RC_ASSERT(running <= MostRunning());
  RC_ASSERT(scheduler_.queued() <= case_.options.max_queued);
  RC_ASSERT(scheduler_.kv_tokens_granted() == granted);
  RC_ASSERT(granted <= case_.kv_tokens);
  if (head != nullptr && running < MostRunning()) {
    RC_ASSERT(granted + Grant(*head) > case_.kv_tokens);
  }
}

void SchedulerModel::Drain() {
  constexpr int kMostRounds = 100'000;
  int rounds = 0;
  while (Submit() || !in_flight_.empty()) {
    RC_ASSERT(++rounds < kMostRounds);
    if (static_cast<int32_t>(in_flight_.size()) == case_.max_in_flight || !Submit()) FinishOldest();
    CheckAdmission();
  }
  RC_ASSERT(alive_.empty());
  RC_ASSERT(open_.empty());
  RC_ASSERT(scheduler_.running() == 0 && scheduler_.queued() == 0);
  RC_ASSERT(scheduler_.in_flight() == 0 && scheduler_.kv_tokens_granted() == 0);
}

}  // namespace shoal
