#include "coordinator/membership.h"

#include <algorithm>

namespace shoal {

int64_t Membership::QuarantineNs(const Node& node) {
  if (node.losses == 0) return 0;
  constexpr int32_t kDoublings = 20;  // far beyond the limit, and far from overflow
  const int32_t doublings = std::min(node.losses - 1, kDoublings);
  return std::min(kFirstQuarantineNs << doublings, kMostQuarantineNs);
}

void Membership::OnAnswer(int32_t node, int64_t now_ns) {
  Node& state = at(node);
  if (state.present) {
    if (now_ns - state.since_ns >= kForgivenAfterNs) state.losses = 0;
    return;
  }
  state.present = true;
  state.since_ns = now_ns;
}

void Membership::OnLoss(int32_t node, int64_t now_ns) {
  Node& state = at(node);
  if (state.present && now_ns - state.since_ns >= kForgivenAfterNs) state.losses = 0;
  ++state.losses;
  state.present = false;
}

bool Membership::trusted(int32_t node, int64_t now_ns) const {
  const Node& state = at(node);
  return state.present && now_ns - state.since_ns >= QuarantineNs(state);
}

std::vector<int32_t> Membership::Usable(int64_t now_ns) const {
  std::vector<int32_t> there;
  std::vector<int32_t> usable;
  for (int32_t node = 0; node < size(); ++node) {
    if (present(node)) there.push_back(node);
    if (trusted(node, now_ns)) usable.push_back(node);
  }
  return usable.empty() ? there : usable;
}

}  // namespace shoal
