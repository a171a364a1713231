// What Linux tells of a device besides its speed: what its processor is called, its kinds of cores,
// battery and temperature.
#pragma once

#include <string>
#include <vector>

#include "node/cpu_topology.h"
#include "node/profile.h"

namespace shoal {

// The processor's name from /proc/cpuinfo, else the board's from the device tree; empty: neither
// says. `root` stands for "/", for tests.
std::string ReadHardwareName(const std::string& root);

// The battery with the least charge and the hottest zone below `root`/sys/class.
DeviceState ReadDeviceState(const std::string& root);

// Cores (not their threads) of equal capacity, fastest first.
std::vector<CoreClass> CoreClasses(const std::vector<Cpu>& cpus);

}  // namespace shoal
