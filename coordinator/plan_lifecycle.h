// The life of plans, one at a time: what has happened to the present one, and what is to be done
// next. Pure; Mesh executes the actions and reports what became of them.
//
//   proposed --all stages prepared--> prepared --all linked--> linked --all answered--> verified
//   verified --attached--> serving --drain--> draining --released--> none
//   any before draining --failed--> draining
//
// Each plan has a higher epoch than all before it. What is reported under another epoch is over: it
// is an error and changes nothing, as is what cannot happen in the phase.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/step/step.h"
#include "partitioner/plan.h"

namespace shoal {

enum class PlanPhase : uint8_t {
  kNone,
  kProposed,  // nodes load their stages
  kPrepared,  // every stage is loaded; links are made
  kLinked,    // every link is up; a first token is on its way through all stages
  kVerified,  // every stage has computed
  kServing,   // requests run on it
  kDraining,  // being taken down; its stages may still compute
};

struct PlanEvent {
  enum class Kind : uint8_t {
    kPrepared,  // of one stage
    kLinked,    // of one stage: to the next one, the last one to the coordinator
    kAnswered,  // of one stage
    kAttached,  // the engine uses the plan
    kDrain,     // another plan is to follow, or none
    kFailed,    // it cannot be finished, or serves no more
    kReleased,  // nothing of it is left
  };
  Kind kind;
  int32_t stage = 0;  // where it is of one
};

enum class PlanAction : uint8_t {
  kNothing,  // wait for the other stages
  kPrepare,
  kLink,
  kVerify,
  kAttach,
  kDetach,  // from the engine, then take it down
  kTakeDown,
};

std::string_view PlanPhaseName(PlanPhase phase);
std::string_view PlanEventName(PlanEvent::Kind kind);

class PlanLifecycle {
 public:
  // A new plan over these stages (devices are the numbers of members), whose epoch is at least
  // `least_epoch`; kPrepare is to be done. Errors: kFailedPrecondition if there is a plan that was
  // not released, kInvalidArgument without stages.
  Result<Epoch> Propose(std::vector<Placement> stages, uint64_t least_epoch);

  // What to do now. Errors: kFailedPrecondition (another epoch; what cannot happen in this phase,
  // or has happened to this stage before), kInvalidArgument (no such stage).
  Result<PlanAction> Apply(Epoch epoch, PlanEvent event);

  PlanPhase phase() const { return phase_; }
  Epoch epoch() const { return epoch_; }
  const std::vector<Placement>& stages() const { return stages_; }
  // What to go back to after a proposal that failed: the plan that served last, unless that has
  // failed to come up again since. `usable` are the members that could serve it (ascending).
  std::optional<std::vector<Placement>> FallBack(const std::vector<int32_t>& usable) const;

 private:
  Result<PlanAction> Advance(const PlanEvent& event, PlanPhase next, PlanAction action);
  Error Illegal(const PlanEvent& event) const;

  Epoch epoch_;  // the highest so far
  PlanPhase phase_ = PlanPhase::kNone;
  std::vector<Placement> stages_;
  std::vector<bool> done_;  // [stages] what this phase waits for
  std::vector<Placement> last_good_;
  bool proposal_failed_ = false;  // the last plan did not get to serve
};

}  // namespace shoal
