// How long something takes: the median of several passes, which neither a page fault of the first
// nor an interruption of one of them shows in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "base/clock.h"

namespace shoal {

// REQUIRES values not to be empty.
inline double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

template <typename Body>
double SecondsOf(const Clock& clock, Body&& body) {
  const int64_t start_ns = clock.NowNs();
  body();
  return static_cast<double>(clock.NowNs() - start_ns) / static_cast<double>(kNsPerS);
}

// After one pass that warms up, passes for about `budget_s`, three at least; if the first alone
// takes longer than that, it is the answer.
template <typename Body>
double MedianSeconds(const Clock& clock, double budget_s, Body&& body) {
  constexpr size_t kLeast = 3;
  constexpr size_t kMost = 1000;
  double spent_s = SecondsOf(clock, body);
  if (spent_s > budget_s) return spent_s;
  std::vector<double> passes;
  while (passes.size() < kMost && (passes.size() < kLeast || spent_s < budget_s)) {
    passes.push_back(SecondsOf(clock, body));
    spent_s += passes.back();
  }
  return Median(std::move(passes));
}

}  // namespace shoal
