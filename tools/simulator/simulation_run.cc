#include "tools/simulator/simulation_run.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "tools/simulator/simulation.h"

namespace shoal {

namespace {

constexpr double kRetryAfterS = 1;  // of a client that was rejected

SchedulerOptions SchedulerOptionsOf(const SimulationOptions& options) {
  const Workload& workload = options.problem.workload;
  SchedulerOptions scheduler;
  scheduler.context_tokens = options.context_tokens;
  scheduler.prefill_chunk = workload.prefill_chunk;
  scheduler.step_token_budget = workload.step_token_budget;
  scheduler.max_running = workload.sessions;
  scheduler.max_queued = options.max_queued;
  return scheduler;
}

SessionId SessionOf(int64_t number) { return {static_cast<uint64_t>(number)}; }
int64_t NumberOf(SessionId id) { return static_cast<int64_t>(id.value); }

}  // namespace

Result<SimulationReport> Simulate(const SimulationOptions& options, const Strategy& strategy) {
  RETURN_IF_ERROR(CheckOptions(options));
  ASSIGN_OR_RETURN(Plan plan, strategy.Place(options.problem));
  return SimulationRun(options, strategy, std::move(plan)).Run();
}

SimulationRun::SimulationRun(const SimulationOptions& options, const Strategy& strategy, Plan plan)
    : options_(options),
      problem_(options.problem),
      strategy_(strategy),
      windows_(AttentionWindows(options.problem.model)),
      scheduler_(SchedulerOptionsOf(options)),
      source_(options),
      log_(options.warmup_s, options.duration_s),
      membership_(options),
      held_(options.problem),
      disturbances_(options),
      usage_(options.problem.cluster.device_count(), options.warmup_s, options.duration_s,
             options.timeline_spans),
      plan_(std::move(plan)),
      memory_(options.problem.cluster.devices.size()) {
  report_.plan = *plan_;
}

SimulationReport SimulationRun::Run() {
  churn_ = membership_.First();
  for (size_t i = 0; i < churn_.size(); ++i) {
    Push(churn_[i].time_s, {.kind = Event::Kind::kChurn, .index = static_cast<int64_t>(i)});
  }
  held_.Load(*plan_);
  StartPlan();
  const bool closed = options_.arrivals.kind == Arrivals::Kind::kClosed;
  for (int32_t i = closed ? options_.arrivals.clients : 1; i > 0; --i) ScheduleArrival(0);

  const double end_s = options_.duration_s + options_.drain_s;
  while (log_.open() > 0 && !events_.empty() && events_.top().time_s <= end_s) {
    const Event event = events_.top();
    events_.pop();
    now_s_ = event.time_s;
    Handle(event);
  }
  Finish();
  return std::move(report_);
}

void SimulationRun::Push(double time_s, Event event) {
  event.time_s = time_s;
  event.order = next_order_++;
  event.epoch = epoch_;
  events_.push(event);
}

void SimulationRun::Handle(const Event& event) {
  const bool current = event.epoch == epoch_;
  switch (event.kind) {
    case Event::Kind::kArrival: return OnArrival(event.index);
    case Event::Kind::kStage: return OnStage(event);
    case Event::Kind::kChurn: return OnChurn(churn_[static_cast<size_t>(event.index)]);
    case Event::Kind::kDetected:
      if (current) Replan();
      return;
    case Event::Kind::kPlanReady:
      if (current) StartPlan();
      return;
  }
}

void SimulationRun::ScheduleArrival(double time_s) {
  const std::optional<TraceRequest> request = source_.Next(time_s);
  if (!request) return;
  const int64_t number = log_.Add(*request, options_.context_tokens);
  Push(request->arrival_s, {.kind = Event::Kind::kArrival, .index = number});
}

void SimulationRun::OnArrival(int64_t number) {
  if (options_.arrivals.kind != Arrivals::Kind::kClosed) ScheduleArrival(now_s_);
  const auto waiting = static_cast<int64_t>(backlog_.size()) + scheduler_.queued();
  if (waiting >= options_.max_queued) {
    End(number, Request::State::kRejected);
    return;
  }
  backlog_.push_back(number);
  Admit();
  Pump();
}

void SimulationRun::Admit() {
  while (pipeline_ && !backlog_.empty() && scheduler_.queued() < options_.max_queued) {
    const int64_t number = backlog_.front();
    backlog_.pop_front();
    AddToScheduler(number);
  }
}

// Of a session that was lost on its way, the tokens it has got are part of what is read again.
void SimulationRun::AddToScheduler(int64_t number) {
  const Request& request = log_.at(number);
  SessionRequest session;
  session.session = SessionOf(number);
  session.prompt.assign(static_cast<size_t>(request.prompt_tokens + request.answered), 0);
  session.max_tokens = request.output_tokens - request.answered;
  if (!scheduler_.Add(std::move(session)).ok()) {
    End(number, Request::State::kRejected);
    return;
  }
  active_.insert(number);
}

void SimulationRun::End(int64_t number, Request::State state) {
  if (active_.erase(number) != 0) scheduler_.Remove(SessionOf(number));
  log_.End(number, state, now_s_);
  if (options_.arrivals.kind != Arrivals::Kind::kClosed) return;
  ScheduleArrival(now_s_ + (state == Request::State::kRejected ? kRetryAfterS : 0));
}

void SimulationRun::Pump() {
  if (!pipeline_) return;
  while (std::optional<Step> step = scheduler_.NextStep()) {
    const int64_t slot = TakeSlot();
    StepInFlight& sent = slots_[static_cast<size_t>(slot)];
    sent.load.Set(*step, windows_);
    sent.step = std::move(*step);
    for (const Slice& slice : sent.step.slices) log_.Start(NumberOf(slice.session), now_s_);
    ++report_.steps;
    const double arrival_s = pipeline_->Submit(sent.step.id.value, now_s_);
    Push(arrival_s, {.kind = Event::Kind::kStage, .index = slot, .sent_s = now_s_});
  }
  peak_kv_tokens_ = std::max(peak_kv_tokens_, scheduler_.kv_tokens_granted());
}

int64_t SimulationRun::TakeSlot() {
  if (free_slots_.empty()) {
    slots_.emplace_back();
    return static_cast<int64_t>(slots_.size()) - 1;
  }
  const int64_t slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

// What was sent before its sender was lost arrives; what reaches a lost device does not leave it.
void SimulationRun::OnStage(const Event& event) {
  const bool lost =
      event.epoch != epoch_ || (event.stage > 0 && !pipeline_->Left(event.stage - 1, event.sent_s));
  if (lost) {
    free_slots_.push_back(event.index);
  } else if (event.stage == pipeline_->stages()) {
    OnResult(event.index);
  } else {
    const StepInFlight& here = slots_[static_cast<size_t>(event.index)];
    const VirtualPipeline::Passage passage =
        pipeline_->Pass(event.stage, here.step.id.value, here.load, now_s_);
    Push(passage.arrival_s, {.kind = Event::Kind::kStage,
                             .stage = event.stage + 1,
                             .index = event.index,
                             .sent_s = passage.sent_s});
  }
}

void SimulationRun::OnResult(int64_t slot) {
  const Step step = std::move(slots_[static_cast<size_t>(slot)].step);
  free_slots_.push_back(slot);
  for (const Slice& slice : step.slices) {
    if (slice.output != Output::kSample) continue;
    const int64_t number = NumberOf(slice.session);
    log_.AddToken(number, now_s_);
    if (!scheduler_.OnToken(slice.session, 0)) End(number, Request::State::kDone);
  }
  const Status done = scheduler_.OnStepDone(step.id);
  CHECK(done.ok(), done.error().message);
  Admit();
  Pump();
}

}  // namespace shoal
