// Discrete events on a virtual clock: requests arrive, the coordinator's own Scheduler
// (coordinator/scheduler.h) forms steps, a VirtualPipeline passes them on, devices are lost and
// come back. Deterministic: the same options give the same report, to the last bit.
#pragma once

#include "base/result.h"
#include "partitioner/strategy.h"
#include "tools/simulator/options.h"
#include "tools/simulator/simulation_report.h"

namespace shoal {

// Errors: those of CheckOptions, and of the strategy when it plans for all devices.
Result<SimulationReport> Simulate(const SimulationOptions& options, const Strategy& strategy);

}  // namespace shoal
