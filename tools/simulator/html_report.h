// A simulation's results as one HTML page with its plots inside: nothing is loaded from elsewhere,
// and there are no scripts.
#pragma once

#include <string>

#include "tools/simulator/report_rows.h"

namespace shoal {

// Timeline, latencies and strategies of the first values; throughput and latencies along each swept
// parameter, the others at their first values; a table of all runs, at most kMaxHtmlRows.
std::string SweepHtml(const SweepReport& report);

constexpr size_t kMaxHtmlRows = 2000;

}  // namespace shoal
