#include "coordinator/plan_lifecycle.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace shoal {

std::string_view PlanPhaseName(PlanPhase phase) {
  switch (phase) {
    case PlanPhase::kNone: return "no plan";
    case PlanPhase::kProposed: return "proposed";
    case PlanPhase::kPrepared: return "prepared";
    case PlanPhase::kLinked: return "linked";
    case PlanPhase::kVerified: return "verified";
    case PlanPhase::kServing: return "serving";
    case PlanPhase::kDraining: return "draining";
  }
  return "unknown";
}

std::string_view PlanEventName(PlanEvent::Kind kind) {
  switch (kind) {
    case PlanEvent::Kind::kPrepared: return "prepared";
    case PlanEvent::Kind::kLinked: return "linked";
    case PlanEvent::Kind::kAnswered: return "answered";
    case PlanEvent::Kind::kAttached: return "attached";
    case PlanEvent::Kind::kDrain: return "drain";
    case PlanEvent::Kind::kFailed: return "failed";
    case PlanEvent::Kind::kReleased: return "released";
  }
  return "unknown";
}

Result<Epoch> PlanLifecycle::Propose(std::vector<Placement> stages, uint64_t least_epoch) {
  if (stages.empty()) return InvalidArgument("a plan without stages");
  if (phase_ != PlanPhase::kNone) {
    return FailedPrecondition(
        fmt::format("a new plan while epoch {} is {}", epoch_.value, PlanPhaseName(phase_)));
  }
  epoch_.value = std::max(epoch_.value + 1, least_epoch);
  phase_ = PlanPhase::kProposed;
  stages_ = std::move(stages);
  done_.assign(stages_.size(), false);
  return epoch_;
}

Error PlanLifecycle::Illegal(const PlanEvent& event) const {
  return FailedPrecondition(fmt::format("epoch {}: '{}' of stage {} cannot happen while it is {}",
                                        epoch_.value, PlanEventName(event.kind), event.stage,
                                        PlanPhaseName(phase_)));
}

// One stage more; to the next phase when it was the last one.
Result<PlanAction> PlanLifecycle::Advance(const PlanEvent& event, PlanPhase next,
                                          PlanAction action) {
  if (event.stage < 0 || static_cast<size_t>(event.stage) >= stages_.size()) {
    return InvalidArgument(
        fmt::format("epoch {}: stage {} of {}", epoch_.value, event.stage, stages_.size()));
  }
  const auto stage = static_cast<size_t>(event.stage);
  if (done_[stage]) return Illegal(event);
  done_[stage] = true;
  if (std::find(done_.begin(), done_.end(), false) != done_.end()) return PlanAction::kNothing;
  phase_ = next;
  done_.assign(stages_.size(), false);
  return action;
}

Result<PlanAction> PlanLifecycle::Apply(Epoch epoch, PlanEvent event) {
  if (epoch != epoch_) {
    return FailedPrecondition(fmt::format("'{}' of epoch {}: the plan is epoch {}",
                                          PlanEventName(event.kind), epoch.value, epoch_.value));
  }
  const bool failing = event.kind == PlanEvent::Kind::kFailed;
  switch (phase_) {
    case PlanPhase::kNone: return Illegal(event);
    case PlanPhase::kProposed:
      if (event.kind == PlanEvent::Kind::kPrepared) {
        return Advance(event, PlanPhase::kPrepared, PlanAction::kLink);
      }
      break;
    case PlanPhase::kPrepared:
      if (event.kind == PlanEvent::Kind::kLinked) {
        return Advance(event, PlanPhase::kLinked, PlanAction::kVerify);
      }
      break;
    case PlanPhase::kLinked:
      if (event.kind == PlanEvent::Kind::kAnswered) {
        return Advance(event, PlanPhase::kVerified, PlanAction::kAttach);
      }
      break;
    case PlanPhase::kVerified:
      if (event.kind == PlanEvent::Kind::kAttached) {
        phase_ = PlanPhase::kServing;
        last_good_ = stages_;
        proposal_failed_ = false;
        return PlanAction::kNothing;
      }
      break;
    case PlanPhase::kServing:
      if (!failing && event.kind != PlanEvent::Kind::kDrain) return Illegal(event);
      phase_ = PlanPhase::kDraining;
      return PlanAction::kDetach;
    case PlanPhase::kDraining:
      if (event.kind != PlanEvent::Kind::kReleased) return Illegal(event);
      phase_ = PlanPhase::kNone;
      return PlanAction::kNothing;
  }
  if (!failing) return Illegal(event);
  phase_ = PlanPhase::kDraining;
  proposal_failed_ = true;
  return PlanAction::kTakeDown;
}

std::optional<std::vector<Placement>> PlanLifecycle::FallBack(
    const std::vector<int32_t>& usable) const {
  if (!proposal_failed_ || last_good_.empty() || stages_ == last_good_) return std::nullopt;
  const bool there = std::all_of(last_good_.begin(), last_good_.end(), [&](const Placement& stage) {
    return std::binary_search(usable.begin(), usable.end(), stage.device);
  });
  return there ? std::optional(last_good_) : std::nullopt;
}

}  // namespace shoal
