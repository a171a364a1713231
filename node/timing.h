// How long something takes, in passes and rounds.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
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

// After one pass that warms up, passes for about `budget_s`, and their mean: a process that is
// throttled runs for some milliseconds and rests for others, and both belong to its speed. If the
// first pass alone takes longer than the budget, it is the answer.
template <typename Body>
double MeanSeconds(const Clock& clock, double budget_s, Body&& body) {
  constexpr int64_t kMostPasses = 1'000'000;
  const double first_s = SecondsOf(clock, body);
  if (first_s >= budget_s) return first_s;
  int64_t passes = 0;
  double spent_s = 0;
  const int64_t start_ns = clock.NowNs();
  while (spent_s < budget_s && passes < kMostPasses) {
    body();
    ++passes;
    spent_s = static_cast<double>(clock.NowNs() - start_ns) / static_cast<double>(kNsPerS);
  }
  return spent_s / static_cast<double>(passes);
}

}  // namespace shoal
