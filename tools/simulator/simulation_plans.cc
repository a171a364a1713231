// The plans of a run: starting, losing and changing them, and what is reported in the end.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tools/simulator/simulation_run.h"

namespace shoal {

void SimulationRun::StartPlan() {
  pipeline_.emplace(problem_, *plan_, disturbances_, usage_);
  scheduler_.Attach(Epoch{epoch_}, pipeline_->stages(), problem_.workload.kv_tokens);
  peak_kv_tokens_ = 0;
  for (const PlannedStage& stage : plan_->stages) {
    if (!membership_.up(stage.device)) pipeline_->Lose(stage.device, now_s_);
  }
  if (!detecting_) {
    report_.failures_survived += std::exchange(losses_, 0);
    if (down_since_s_) report_.downtime_s += now_s_ - *down_since_s_;
    down_since_s_.reset();
  }
  Admit();
  Pump();
}

void SimulationRun::StopPlan() {
  NoteMemory();
  if (pipeline_ && !down_since_s_) down_since_s_ = now_s_;
  pipeline_.reset();
  plan_.reset();
  ++epoch_;
  detecting_ = false;
  for (const int64_t number : active_) report_.replayed_sessions += log_.at(number).started;
  backlog_.insert(backlog_.begin(), active_.begin(), active_.end());
  active_.clear();
  scheduler_.Reset();
}

void SimulationRun::Replan() {
  StopPlan();
  Result<Plan> plan = PlanOn(problem_, membership_.all_up(), strategy_);
  if (plan.ok()) BeginLoading(std::move(*plan));
}

void SimulationRun::BeginLoading(Plan plan) {
  ++report_.replans;
  const double load_s = held_.LoadSeconds(plan);
  held_.Load(plan);
  plan_ = std::move(plan);
  Push(now_s_ + options_.recovery.replan_s + load_s, {.kind = Event::Kind::kPlanReady});
}

void SimulationRun::OnChurn(const ChurnEvent& event) {
  const bool changes = membership_.up(event.device) != event.up;
  if (const std::optional<ChurnEvent> next = membership_.Apply(event)) {
    churn_.push_back(*next);
    Push(next->time_s,
         {.kind = Event::Kind::kChurn, .index = static_cast<int64_t>(churn_.size()) - 1});
  }
  if (!changes) return;
  if (event.up) {
    OnUp();
  } else {
    OnDown(event.device);
  }
}

void SimulationRun::OnDown(int32_t device) {
  held_.Lose(device);
  if (!PlanUses(device)) return;
  ++report_.failures;
  ++losses_;
  if (!down_since_s_) down_since_s_ = now_s_;
  if (pipeline_) pipeline_->Lose(device, now_s_);
  if (std::exchange(detecting_, true)) return;
  Push(now_s_ + options_.recovery.detection_s, {.kind = Event::Kind::kDetected});
}

void SimulationRun::OnUp() {
  if (!plan_) return Replan();
  if (detecting_) return;  // it will be planned with
  Result<Plan> better = PlanOn(problem_, membership_.all_up(), strategy_);
  if (!better.ok()) return;
  if (better->objective > plan_->objective * (1 - options_.recovery.least_gain)) return;
  StopPlan();
  BeginLoading(std::move(*better));
}

bool SimulationRun::PlanUses(int32_t device) const {
  return plan_ && std::any_of(plan_->stages.begin(), plan_->stages.end(),
                              [device](const PlannedStage& s) { return s.device == device; });
}

void SimulationRun::NoteMemory() {
  if (!plan_) return;
  const auto kv_tokens = static_cast<double>(std::max<int64_t>(1, problem_.workload.kv_tokens));
  std::vector<DeviceMemory> now(memory_.size());  // a device may hold two stages
  for (const PlannedStage& stage : plan_->stages) {
    DeviceMemory& memory = now[static_cast<size_t>(stage.device)];
    memory.planned_bytes += stage.needed_bytes;
    memory.peak_bytes += stage.weight_bytes + stage.buffer_bytes +
                         static_cast<int64_t>(static_cast<double>(stage.kv_bytes) *
                                              static_cast<double>(peak_kv_tokens_) / kv_tokens);
    memory_[static_cast<size_t>(stage.device)].used = true;
  }
  for (size_t i = 0; i < now.size(); ++i) {
    memory_[i].planned_bytes = std::max(memory_[i].planned_bytes, now[i].planned_bytes);
    memory_[i].peak_bytes = std::max(memory_[i].peak_bytes, now[i].peak_bytes);
  }
}

void SimulationRun::Finish() {
  NoteMemory();
  log_.FailOpen(now_s_);
  log_.Report(report_);
  report_.simulated_s = now_s_;
  if (down_since_s_) report_.downtime_s += now_s_ - *down_since_s_;
  ReportDevices();
  ReportEnergy();
  report_.spans = usage_.TakeSpans();
}

void SimulationRun::ReportDevices() {
  const std::vector<DeviceProfile>& devices = problem_.cluster.devices;
  const auto share = [this](double busy_s) {
    return report_.measured_s > 0 ? std::min(1.0, busy_s / report_.measured_s) : 0;
  };
  for (size_t i = 0; i < devices.size(); ++i) {
    DeviceUse use;
    use.name = devices[i].name;
    use.used = memory_[i].used;
    use.utilization = share(usage_.busy_s(static_cast<int32_t>(i)));
    use.planned_bytes = memory_[i].planned_bytes;
    use.peak_bytes = memory_[i].peak_bytes;
    use.memory_bytes = devices[i].memory_bytes;
    report_.devices.push_back(std::move(use));
  }
  for (const PlannedStage& stage : report_.plan.stages) {
    std::string& layers = report_.devices[static_cast<size_t>(stage.device)].layers;
    if (!layers.empty()) layers += " ";
    layers += fmt::format("[{}, {})", stage.layers.begin, stage.layers.end);
  }
  const auto name = [&](int32_t endpoint) {
    return endpoint == problem_.cluster.coordinator() ? std::string("coordinator")
                                                      : devices[static_cast<size_t>(endpoint)].name;
  };
  for (size_t i = 0; i < usage_.links().size(); ++i) {
    const auto [from, to] = usage_.links()[i];
    const auto resource = static_cast<int32_t>(devices.size() + i);
    report_.links.push_back({name(from), name(to), share(usage_.busy_s(resource))});
  }
}

// As in partitioner/cost_model.h: of the devices used, busy or idle.
void SimulationRun::ReportEnergy() {
  double joules = 0;
  bool known = report_.output_tokens > 0;
  for (size_t i = 0; i < report_.devices.size(); ++i) {
    DeviceUse& use = report_.devices[i];
    const DeviceProfile& device = problem_.cluster.devices[i];
    if (!use.used) continue;
    known = known && device.busy_watts > 0;
    use.joules = report_.measured_s *
                 (use.utilization * device.busy_watts + (1 - use.utilization) * device.idle_watts);
    joules += use.joules;
  }
  if (known) report_.joules_per_token = joules / static_cast<double>(report_.output_tokens);
}

}  // namespace shoal
