// A simulation's results for people: one run in full, or a table of many.
#pragma once

#include <string>

#include "tools/simulator/report_rows.h"

namespace shoal {

std::string SweepText(const SweepReport& report);

// With three significant digits and a unit that fits: "31.2 ms", "4.50 s".
std::string SecondsText(double seconds);

}  // namespace shoal
