// Which processors of this machine are worth a compute thread each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace shoal {

struct Cpu {
  int id = 0;
  int core = 0;          // the lowest id of the processors that share its core
  int64_t capacity = 0;  // relative speed, in any unit; 0: unknown
};

// Those of `ids` as Linux describes them below `root` (/sys/devices/system/cpu): the threads of a
// core from topology, the capacity from cpu_capacity, else from the greatest clock frequency. A
// processor that is not described is a core of its own.
std::vector<Cpu> ReadCpus(const std::string& root, const std::vector<int>& ids);

// The first processor of each core that is at least half as fast as the fastest: two threads of one
// core share its multipliers, and a slow core would be waited for.
std::vector<int> PerformanceCpus(const std::vector<Cpu>& cpus);

}  // namespace shoal
