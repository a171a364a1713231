// When a device lends itself to the mesh, as its owner wishes. Pure: facts come in, the decision
// goes out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "node/profile.h"

namespace shoal {

// Of a day in local time, [begin, end); one whose end is not after its begin goes over midnight.
struct HourRange {
  static constexpr int32_t kMinutesPerDay = 24 * 60;
  int32_t begin_minute = 0;
  int32_t end_minute = 0;
};
// "22:00-07:00".
Result<HourRange> ParseHourRange(std::string_view text);

struct NodePolicy {
  // Below it the kernel might soon end some process, perhaps this one.
  static constexpr int64_t kLeastFreeMemoryBytes = int64_t{128} << 20;

  int64_t least_free_memory_bytes = kLeastFreeMemoryBytes;  // 0: whatever there is
  int32_t battery_least_percent = 0;                        // while on battery; 0: whatever is left
  double hottest_c = 0;                                     // 0: however hot
  std::vector<HourRange> hours;                             // empty: always
  bool pause_when_active = false;                           // while somebody uses the device
};

// What the OS and the owner say now.
struct DeviceFacts {
  bool paused = false;  // by `shoal node pause`
  DeviceState state;
  int64_t free_memory_bytes = -1;   // -1: unknown
  int32_t minute_of_day = 0;        // local time
  std::optional<bool> user_active;  // none: the OS does not tell
};

enum class PauseCause { kNone, kByHand, kHours, kMemory, kBattery, kHeat, kUser };

struct PolicyDecision {
  PauseCause cause = PauseCause::kNone;
  std::string reason;  // for people; empty: available
  int64_t since_ns = 0;

  bool available() const { return cause == PauseCause::kNone; }
};

// What to do after `before`. What one limit stopped goes on only when it is passed by a margin
// (twice the memory, 5 percent, 5 degrees, a minute without the user), so that a value which sways
// about its limit does not make a node come and go. Facts that are unknown stop nothing.
PolicyDecision Decide(const NodePolicy& policy, const PolicyDecision& before,
                      const DeviceFacts& facts, int64_t now_ns);

}  // namespace shoal
