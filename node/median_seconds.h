// How long something takes: the median of several passes, which neither a page fault of the first
// nor an interruption of one of them shows in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
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

// After one pass that warms up, samples for about `budget_s`, three at least, each of as many
// passes as take an eighth of it: what throttles a process, it does within milliseconds, and shows
// in each. If the first pass alone takes longer than the budget, it is the answer.
template <typename Body>
double MedianSeconds(const Clock& clock, double budget_s, Body&& body) {
  constexpr size_t kLeastSamples = 3;
  constexpr double kSampleShare = 0.125;
  constexpr double kMostPasses = 1e6;
  double spent_s = SecondsOf(clock, body);
  if (spent_s >= budget_s) return spent_s;
  const double pass_s = std::max(SecondsOf(clock, body), budget_s / kMostPasses);
  const auto passes = static_cast<int64_t>(std::max(1.0, kSampleShare * budget_s / pass_s));
  std::vector<double> samples;
  while (samples.size() < kLeastSamples || spent_s < budget_s) {
    const double sample_s = SecondsOf(clock, [&] {
      for (int64_t i = 0; i < passes; ++i) body();
    });
    samples.push_back(sample_s / static_cast<double>(passes));
    spent_s += std::max(sample_s, budget_s / kMostPasses);
  }
  return Median(std::move(samples));
}

}  // namespace shoal
