#include "node/control_group.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string_view>

namespace shoal {

namespace {

namespace fs = std::filesystem;

// The group of this process, below the folder of all groups; one outside of what a container sees
// counts as the topmost there.
fs::path OwnGroup(const std::string& root) {
  constexpr std::string_view kVersion2 = "0::/";
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(kVersion2, 0) != 0) continue;
    const fs::path group = fs::path(line.substr(kVersion2.size())).lexically_normal();
    return group.empty() || *group.begin() == ".." ? fs::path(".") : group;
  }
  return ".";
}

int CpuQuota(const fs::path& group) {
  std::ifstream file(group / "cpu.max");
  int64_t quota_us = 0;
  int64_t period_us = 0;
  if (!(file >> quota_us >> period_us) || quota_us <= 0 || period_us <= 0) return 0;
  return static_cast<int>(std::min<int64_t>((quota_us + period_us - 1) / period_us, 1 << 20));
}

int64_t CachedFileBytes(const fs::path& group) {
  std::ifstream file(group / "memory.stat");
  int64_t cached = 0;
  std::string field;
  for (int64_t bytes = 0; file >> field >> bytes;) {
    if (field == "active_file" || field == "inactive_file") cached += bytes;
  }
  return cached;
}

void TakeLesser(std::optional<int64_t>& into, int64_t bytes) {
  into = std::min(into.value_or(bytes), bytes);
}

void Tighten(const fs::path& group, GroupLimits& limits) {
  if (const int cpus = CpuQuota(group); cpus > 0) {
    limits.cpus = limits.cpus > 0 ? std::min(limits.cpus, cpus) : cpus;
  }
  int64_t most = 0;
  int64_t used = 0;
  if (!(std::ifstream(group / "memory.max") >> most)) return;
  TakeLesser(limits.memory_bytes, most);
  if (!(std::ifstream(group / "memory.current") >> used)) return;
  TakeLesser(limits.free_memory_bytes,
             std::max<int64_t>(most - std::max<int64_t>(used - CachedFileBytes(group), 0), 0));
}

}  // namespace

GroupLimits ReadGroupLimits(const std::string& root) {
  const fs::path top = root + "/sys/fs/cgroup";
  GroupLimits limits;
  fs::path group = OwnGroup(root);
  for (; group.has_relative_path() && group != "."; group = group.parent_path()) {
    Tighten(top / group, limits);
  }
  Tighten(top, limits);
  return limits;
}

}  // namespace shoal
