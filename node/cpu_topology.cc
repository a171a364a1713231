#include "node/cpu_topology.h"

#include <algorithm>
#include <fstream>
#include <set>

namespace shoal {

namespace {

// The number that a file begins with, or `otherwise`.
int64_t ReadNumber(const std::string& path, int64_t otherwise) {
  std::ifstream file(path);
  int64_t number = 0;
  return file >> number ? number : otherwise;
}

}  // namespace

std::vector<Cpu> ReadCpus(const std::string& root, const std::vector<int>& ids) {
  std::vector<Cpu> cpus;
  for (const int id : ids) {
    const std::string folder = root + "/cpu" + std::to_string(id);
    // Ascending lists such as "0,4" or "0-1".
    const int64_t core = ReadNumber(folder + "/topology/thread_siblings_list", id);
    const int64_t frequency = ReadNumber(folder + "/cpufreq/cpuinfo_max_freq", 0);
    cpus.push_back({id, static_cast<int>(core), ReadNumber(folder + "/cpu_capacity", frequency)});
  }
  return cpus;
}

std::vector<int> PerformanceCpus(const std::vector<Cpu>& cpus) {
  int64_t fastest = 0;
  for (const Cpu& cpu : cpus) fastest = std::max(fastest, cpu.capacity);
  std::set<int> cores;
  std::vector<int> chosen;
  for (const Cpu& cpu : cpus) {
    if (2 * cpu.capacity >= fastest && cores.insert(cpu.core).second) chosen.push_back(cpu.id);
  }
  return chosen;
}

}  // namespace shoal
