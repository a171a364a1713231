#include "coordinator/membership.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace shoal {

std::string_view MemberStateName(MemberState state) {
  switch (state) {
    case MemberState::kAbsent: return "absent";
    case MemberState::kPresent: return "present";
    case MemberState::kSuspect: return "suspect";
    case MemberState::kLeaving: return "leaving";
  }
  return "unknown";
}

std::string_view MemberEventName(MemberEvent event) {
  switch (event) {
    case MemberEvent::kAnswered: return "answered";
    case MemberEvent::kSilent: return "silent";
    case MemberEvent::kFailed: return "failed";
    case MemberEvent::kWatched: return "watched";
    case MemberEvent::kReleased: return "released";
    case MemberEvent::kLost: return "lost";
    case MemberEvent::kLeaves: return "leaves";
  }
  return "unknown";
}

Result<int32_t> Membership::Add(const std::string& name) {
  const bool taken = std::any_of(nodes_.begin(), nodes_.end(),
                                 [&](const auto& entry) { return entry.second.name == name; });
  if (taken) return InvalidArgument(fmt::format("there is a node {} already", name));
  nodes_[next_].name = name;
  return next_++;
}

Status Membership::Remove(int32_t node) {
  if (nodes_.erase(node) == 0) return NotFound(fmt::format("there is no node number {}", node));
  return OkStatus();
}

int64_t Membership::QuarantineNs(const Node& node) {
  if (node.losses == 0) return 0;
  constexpr int32_t kDoublings = 20;  // far beyond the limit, and far from overflow
  const int32_t doublings = std::min(node.losses - 1, kDoublings);
  return std::min(kFirstQuarantineNs << doublings, kMostQuarantineNs);
}

void Membership::CountLoss(Node& node, int64_t now_ns) {
  if (now_ns - node.since_ns >= kForgivenAfterNs) node.losses = 0;
  ++node.losses;
}

bool Membership::CanHappen(const Node& node, MemberEvent event) {
  switch (event) {
    case MemberEvent::kAnswered: return true;
    case MemberEvent::kSilent: return !node.watched;
    case MemberEvent::kFailed:
    case MemberEvent::kWatched: return node.state == MemberState::kPresent && !node.watched;
    case MemberEvent::kReleased:
    case MemberEvent::kLost: return node.watched;
    case MemberEvent::kLeaves: return node.watched && node.state != MemberState::kLeaving;
  }
  return false;
}

Status Membership::Apply(int32_t number, MemberEvent event, int64_t now_ns) {
  const auto found = nodes_.find(number);
  if (found == nodes_.end()) return NotFound(fmt::format("there is no node number {}", number));
  Node& node = found->second;
  if (!CanHappen(node, event)) {
    return FailedPrecondition(fmt::format("node {}: '{}' cannot happen while it is {}{}", node.name,
                                          MemberEventName(event), MemberStateName(node.state),
                                          node.watched ? " and in a plan" : " and in no plan"));
  }
  switch (event) {
    case MemberEvent::kAnswered:
      if (node.state == MemberState::kAbsent) {
        node.since_ns = now_ns;
      } else if (now_ns - node.since_ns >= kForgivenAfterNs) {
        node.losses = 0;
      }
      node.heard_ns = now_ns;
      if (node.state != MemberState::kLeaving) node.state = MemberState::kPresent;
      break;
    case MemberEvent::kSilent: node.state = MemberState::kAbsent; break;
    case MemberEvent::kFailed:
      CountLoss(node, now_ns);
      node.losses = std::max(node.losses, kFailureCounts);
      node.state = MemberState::kAbsent;
      break;
    case MemberEvent::kWatched:
      node.watched = true;
      node.heard_ns = now_ns;
      break;
    case MemberEvent::kReleased:
      node.watched = false;
      if (node.state != MemberState::kPresent) node.state = MemberState::kAbsent;
      break;
    case MemberEvent::kLost:
      if (node.state != MemberState::kLeaving) CountLoss(node, now_ns);
      node.watched = false;
      node.state = MemberState::kAbsent;
      break;
    case MemberEvent::kLeaves: node.state = MemberState::kLeaving; break;
  }
  return OkStatus();
}

void Membership::Heard(int32_t number, int64_t at_ns) {
  const auto found = nodes_.find(number);
  if (found == nodes_.end() || !found->second.watched) return;
  Node& node = found->second;
  node.heard_ns = std::max(node.heard_ns, at_ns);
}

std::vector<int32_t> Membership::Tick(int64_t now_ns) {
  std::vector<int32_t> lost;
  for (auto& [number, node] : nodes_) {
    if (!node.watched) continue;
    const int64_t silent_ns = now_ns - node.heard_ns;
    if (silent_ns > kLostNs) lost.push_back(number);
    if (node.state == MemberState::kLeaving) continue;
    node.state = silent_ns > kSuspectNs ? MemberState::kSuspect : MemberState::kPresent;
    if (silent_ns <= kSuspectNs && now_ns - node.since_ns >= kForgivenAfterNs) node.losses = 0;
  }
  for (const int32_t number : lost) {
    const Status applied = Apply(number, MemberEvent::kLost, now_ns);
    CHECK(applied.ok(), applied.error().message);
  }
  return lost;
}

int64_t Membership::QuietUntilNs() const {
  int64_t until_ns = std::numeric_limits<int64_t>::max();
  for (const auto& [number, node] : nodes_) {
    if (!node.watched) continue;
    const bool present = node.state == MemberState::kPresent;
    until_ns = std::min(until_ns, node.heard_ns + (present ? kSuspectNs : kLostNs));
  }
  return until_ns;
}

std::vector<int32_t> Membership::all() const {
  std::vector<int32_t> numbers;
  for (const auto& [number, node] : nodes_) numbers.push_back(number);
  return numbers;
}

bool Membership::trusted(int32_t number, int64_t now_ns) const {
  const Node& node = nodes_.at(number);
  return node.state == MemberState::kPresent && now_ns - node.since_ns >= QuarantineNs(node);
}

std::vector<int32_t> Membership::Usable(int64_t now_ns) const {
  std::vector<int32_t> there;
  std::vector<int32_t> usable;
  for (const auto& [number, node] : nodes_) {
    if (node.state == MemberState::kPresent) there.push_back(number);
    if (trusted(number, now_ns)) usable.push_back(number);
  }
  return usable.empty() ? there : usable;
}

}  // namespace shoal
