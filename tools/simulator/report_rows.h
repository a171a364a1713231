// A simulation's results as data: one row per run, with every parameter in it. docs/simulator.md
// describes the columns.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tools/simulator/sweep.h"

namespace shoal {

// What all runs have in common.
struct SweepReport {
  std::vector<std::pair<std::string, std::string>> parameters;  // column, value; but the seed
  std::vector<SweepAxis> axes;
  std::vector<SweepRun> runs;
};

// Columns in order, the same for every run: parameters, swept parameters, results. What a run that
// failed does not have, and what is not known, is null; its `error` says why.
nlohmann::ordered_json RunRow(const SweepReport& report, const SweepRun& run);

std::string SweepCsv(const SweepReport& report);
// An array of rows; each with the devices and links of its run besides.
std::string SweepJson(const SweepReport& report);

}  // namespace shoal
