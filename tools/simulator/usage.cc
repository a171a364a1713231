#include "tools/simulator/usage.h"

#include <algorithm>

namespace shoal {

Usage::Usage(int32_t devices, double begin_s, double end_s, int32_t max_spans)
    : devices_(devices),
      begin_s_(begin_s),
      end_s_(end_s),
      max_spans_(static_cast<size_t>(max_spans)),
      busy_s_(static_cast<size_t>(devices), 0) {}

int32_t Usage::LinkResource(int32_t from, int32_t to) {
  const auto found = std::find_if(links_.begin(), links_.end(), [&](const Link& link) {
    return link.from == from && link.to == to;
  });
  const auto index = static_cast<int32_t>(found - links_.begin());
  if (found == links_.end()) {
    links_.push_back({from, to});
    busy_s_.push_back(0);
  }
  return devices_ + index;
}

void Usage::Add(int32_t resource, double begin_s, double end_s, uint64_t step, bool prefill) {
  const double within = std::min(end_s, end_s_) - std::max(begin_s, begin_s_);
  if (within > 0) busy_s_[static_cast<size_t>(resource)] += within;
  if (spans_.size() < max_spans_ && begin_s >= begin_s_) {
    spans_.push_back({resource, begin_s, end_s, step, prefill});
  }
}

}  // namespace shoal
