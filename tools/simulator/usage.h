// Counts for how long devices and links are busy within the measured time, and keeps the first
// stretches of it for a plot.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/simulator/simulation_report.h"

namespace shoal {

class Usage {
 public:
  // Measured from `begin_s` to `end_s`; keeps at most `max_spans`.
  Usage(int32_t devices, double begin_s, double end_s, int32_t max_spans);

  // The resource's number of this link, the same each time.
  int32_t LinkResource(int32_t from, int32_t to);
  void Add(int32_t resource, double begin_s, double end_s, uint64_t step, bool prefill);

  struct Link {
    int32_t from = 0;
    int32_t to = 0;
  };
  const std::vector<Link>& links() const { return links_; }
  double busy_s(int32_t resource) const { return busy_s_[static_cast<size_t>(resource)]; }
  std::vector<Span> TakeSpans() { return std::move(spans_); }

 private:
  int32_t devices_;
  double begin_s_;
  double end_s_;
  size_t max_spans_;
  std::vector<double> busy_s_;  // devices, then links
  std::vector<Link> links_;
  std::vector<Span> spans_;
};

}  // namespace shoal
