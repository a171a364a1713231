// A plain model of what the stages see, for properties of the scheduler: it drives a scheduler with
// events and checks each step against what it remembers of the sessions. Failures are reported with
// RC_ASSERT, so it lives inside a RapidCheck property.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <ostream>
#include <vector>

#include "coordinator/scheduler.h"

namespace shoal {

struct SchedulerCase {
  SchedulerOptions options;
  int32_t max_in_flight = 1;
  int64_t kv_tokens = 0;
};
std::ostream& operator<<(std::ostream& out, const SchedulerCase& drawn);

struct SchedulerEvent {
  enum Kind { kAdd, kStep, kDone, kRemove };
  Kind kind = kAdd;
  int32_t prompt_tokens = 0;
  int32_t max_tokens = 0;
  bool logits = false;
  int32_t which = 0;  // of the sessions alive, modulo their number
};
std::ostream& operator<<(std::ostream& out, const SchedulerEvent& event);

class SchedulerModel {
 public:
  explicit SchedulerModel(const SchedulerCase& drawn);

  void Apply(const SchedulerEvent& event);
  // Steps and results until nothing is left to do, then checks that every session came to its end.
  void Drain();

 private:
  struct Session {
    int32_t prompt_tokens = 0;
    int32_t max_tokens = 0;
    bool logits = false;
    int32_t sent = 0;              // positions that went out
    int32_t answers = 0;           // tokens that came back
    std::optional<int32_t> ready;  // came back last and must be sent next
  };
  void Add(const SchedulerEvent& event);
  bool Submit();
  void FinishOldest();
  void Remove(SessionId id);
  void CheckOpens(const Step& step);
  void CheckSlice(const Slice& slice);
  void CheckAdmission() const;
  int32_t MostRunning() const;
  int32_t Grant(const Session& session) const;
  int32_t PromptToken(SessionId id, int32_t position) const;

  const SchedulerCase case_;
  Scheduler scheduler_;
  uint64_t next_session_ = 1;
  uint64_t last_step_ = 0;
  std::map<SessionId, Session> alive_;
  std::map<SessionId, int32_t> open_;  // on the stages, with the KV tokens granted
  std::map<SessionId, bool> opened_;   // ever; whether closed since
  std::deque<Step> in_flight_;
};

}  // namespace shoal
