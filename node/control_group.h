// What the control groups of this process (Linux, version 2) leave it of the machine: a service's
// CPUQuota= and MemoryMax=, a container's limits. The tightest of its own group and of those above.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace shoal {

struct GroupLimits {
  int cpus = 0;  // whole ones, rounded up; 0: no limit
  std::optional<int64_t> memory_bytes;
  // Until the kernel ends a process of the group; what it can take back, as cached files, is free.
  std::optional<int64_t> free_memory_bytes;
};

// No limits where there are no such groups. `root` is that of the file system, "" but in tests.
GroupLimits ReadGroupLimits(const std::string& root);

}  // namespace shoal
