// One run of a simulation: its state and its events. Steps and requests are in simulation_run.cc,
// plans, losses and the report in simulation_plans.cc.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <queue>
#include <set>
#include <vector>

#include "coordinator/scheduler.h"
#include "partitioner/strategy.h"
#include "partitioner/subproblem.h"
#include "tools/simulator/held_weights.h"
#include "tools/simulator/membership.h"
#include "tools/simulator/request_log.h"
#include "tools/simulator/request_source.h"
#include "tools/simulator/simulation_report.h"
#include "tools/simulator/virtual_pipeline.h"

namespace shoal {

class SimulationRun {
 public:
  // `plan` is for all devices. The options, which passed CheckOptions, and the strategy outlive
  // this.
  SimulationRun(const SimulationOptions& options, const Strategy& strategy, Plan plan);
  SimulationReport Run();

 private:
  struct Event {
    enum class Kind : uint8_t {
      kArrival,    // of request `index`
      kStage,      // step in slot `index` reaches `stage`; one past the last: the coordinator
      kChurn,      // churn_[index]
      kDetected,   // the coordinator knows of a loss
      kPlanReady,  // every stage answers
    };
    double time_s = 0;
    uint64_t order = 0;  // among events of one time
    Kind kind = Kind::kArrival;
    int32_t stage = 0;
    int64_t index = 0;
    uint64_t epoch = 0;  // all but arrivals and churn are of no use in another one
    double sent_s = 0;   // kStage: when the step had left the stage before

    bool operator>(const Event& other) const {
      return time_s != other.time_s ? time_s > other.time_s : order > other.order;
    }
  };
  struct StepInFlight {
    Step step;
    StepLoad load;
  };
  struct DeviceMemory {
    bool used = false;  // by some plan
    int64_t planned_bytes = 0;
    int64_t peak_bytes = 0;
  };

  void Push(double time_s, Event event);
  void Handle(const Event& event);

  // Requests. All that are open are waiting to arrive, in backlog_, or in active_.
  void ScheduleArrival(double time_s);  // at the earliest
  void OnArrival(int64_t number);
  void Admit();  // from the backlog to the scheduler, as long as it has room
  void AddToScheduler(int64_t number);
  void End(int64_t number, Request::State state);

  // Steps.
  void Pump();
  void OnStage(const Event& event);
  void OnResult(int64_t slot);
  int64_t TakeSlot();

  // Plans.
  void StartPlan();
  void StopPlan();
  void Replan();
  void BeginLoading(Plan plan);
  void OnChurn(ChurnEvent event);  // by value: churn_ grows meanwhile
  void OnDown(int32_t device);
  void OnUp();
  bool PlanUses(int32_t device) const;
  void NoteMemory();

  void Finish();
  void ReportDevices();
  void ReportEnergy();

  const SimulationOptions& options_;
  const PlanProblem& problem_;
  const Strategy& strategy_;
  const std::vector<int32_t> windows_;
  Scheduler scheduler_;
  RequestSource source_;
  RequestLog log_;
  DeviceChurn membership_;
  HeldWeights held_;
  Disturbances disturbances_;
  Usage usage_;

  double now_s_ = 0;
  uint64_t next_order_ = 0;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::vector<ChurnEvent> churn_;
  std::deque<int64_t> backlog_;  // there is no pipeline, or the scheduler's queue was full
  std::set<int64_t> active_;     // in the scheduler
  std::vector<StepInFlight> slots_;
  std::vector<int64_t> free_slots_;

  std::optional<Plan> plan_;                 // served, or being loaded; none: none fits
  std::optional<VirtualPipeline> pipeline_;  // none while there is no plan or it is loading
  uint64_t epoch_ = 1;
  bool detecting_ = false;  // a device of plan_ is gone, and the coordinator will know
  int64_t losses_ = 0;      // of devices of plans since one served undisturbed
  std::optional<double> down_since_s_;
  int64_t peak_kv_tokens_ = 0;        // granted in this epoch
  std::vector<DeviceMemory> memory_;  // by device
  SimulationReport report_;
};

}  // namespace shoal
