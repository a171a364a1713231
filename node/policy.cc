#include "node/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/clock.h"

namespace shoal {

namespace {

constexpr int32_t kBatteryMarginPercent = 5;
constexpr double kHeatMarginC = 5;
constexpr int64_t kMemoryMargin = 2;  // times
constexpr int64_t kUserGoneNs = 60 * kNsPerS;

std::optional<int32_t> ParseTime(std::string_view text) {
  int32_t hour = -1, minute = -1;
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  const char* const begin = text.data();
  const auto hours = std::from_chars(begin, begin + 2, hour);
  const auto minutes = std::from_chars(begin + 3, begin + 5, minute);
  if (hours.ec != std::errc() || hours.ptr != begin + 2 || minutes.ec != std::errc() ||
      minutes.ptr != begin + 5 || hour < 0 || minute < 0 || minute > 59) {
    return std::nullopt;
  }
  const int32_t total = hour * 60 + minute;
  return total <= HourRange::kMinutesPerDay ? std::optional(total) : std::nullopt;
}

std::string TimeText(int32_t minute) {
  return fmt::format("{:02}:{:02}", minute / 60, minute % 60);
}

bool Contains(const HourRange& range, int32_t minute) {
  if (range.begin_minute < range.end_minute) {
    return minute >= range.begin_minute && minute < range.end_minute;
  }
  return minute >= range.begin_minute || minute < range.end_minute;
}

// Each of these: why the node must stop, or may not go on yet if this is what `stopped` it.
std::string HoursReason(const NodePolicy& policy, const DeviceFacts& facts) {
  const auto now = [&](const HourRange& range) { return Contains(range, facts.minute_of_day); };
  if (policy.hours.empty() || std::any_of(policy.hours.begin(), policy.hours.end(), now)) return "";
  return fmt::format("it is {}, outside the hours of this node", TimeText(facts.minute_of_day));
}

std::string MemoryReason(const NodePolicy& policy, const DeviceFacts& facts, bool stopped) {
  const int64_t least = policy.least_free_memory_bytes * (stopped ? kMemoryMargin : 1);
  if (facts.free_memory_bytes < 0 || facts.free_memory_bytes >= least) return "";
  return fmt::format("the device is short of memory: {} MiB are free, the node needs {}",
                     facts.free_memory_bytes >> 20, least >> 20);
}

std::string BatteryReason(const NodePolicy& policy, const DeviceFacts& facts, bool stopped) {
  const DeviceState& state = facts.state;
  const int32_t least =
      std::min(100, policy.battery_least_percent + (stopped ? kBatteryMarginPercent : 0));
  if (policy.battery_least_percent == 0 || !state.on_battery || state.battery_percent < 0 ||
      state.battery_percent >= least) {
    return "";
  }
  return fmt::format("on battery with {} %, the least is {} %", state.battery_percent, least);
}

std::string HeatReason(const NodePolicy& policy, const DeviceFacts& facts, bool stopped) {
  const double most = policy.hottest_c - (stopped ? kHeatMarginC : 0);
  if (policy.hottest_c == 0 || facts.state.temperature_c <= most) return "";
  return fmt::format("the device is hot: {:.0f} degrees, the most is {:.0f}",
                     facts.state.temperature_c, most);
}

std::string UserReason(const NodePolicy& policy, const PolicyDecision& before,
                       const DeviceFacts& facts, int64_t now_ns) {
  if (!policy.pause_when_active || !facts.user_active) return "";
  if (*facts.user_active) return "somebody uses the device";
  const bool stopped = before.cause == PauseCause::kUser;
  return stopped && now_ns - before.since_ns < kUserGoneNs ? "somebody used the device just now"
                                                           : "";
}

}  // namespace

Result<HourRange> ParseHourRange(std::string_view text) {
  const size_t dash = text.find('-');
  if (dash != std::string_view::npos) {
    const std::optional<int32_t> begin = ParseTime(text.substr(0, dash));
    const std::optional<int32_t> end = ParseTime(text.substr(dash + 1));
    if (begin && end && *begin != *end && *begin < HourRange::kMinutesPerDay) {
      return HourRange{*begin, *end};
    }
  }
  return InvalidArgument(
      fmt::format("hours '{}': expected two times like 22:00-07:00", text.substr(0, 40)));
}

PolicyDecision Decide(const NodePolicy& policy, const PolicyDecision& before,
                      const DeviceFacts& facts, int64_t now_ns) {
  const auto stopped = [&](PauseCause cause) { return before.cause == cause; };
  const std::pair<PauseCause, std::string> checks[] = {
      {PauseCause::kByHand, facts.paused ? "paused by its owner" : ""},
      {PauseCause::kMemory, MemoryReason(policy, facts, stopped(PauseCause::kMemory))},
      {PauseCause::kHeat, HeatReason(policy, facts, stopped(PauseCause::kHeat))},
      {PauseCause::kBattery, BatteryReason(policy, facts, stopped(PauseCause::kBattery))},
      {PauseCause::kHours, HoursReason(policy, facts)},
      {PauseCause::kUser, UserReason(policy, before, facts, now_ns)},
  };
  for (const auto& [cause, reason] : checks) {
    if (reason.empty()) continue;
    // The time of the user's last sign counts; of the rest, when it began.
    const bool goes_on =
        cause == before.cause && !(cause == PauseCause::kUser && *facts.user_active);
    return {cause, reason, goes_on ? before.since_ns : now_ns};
  }
  return {PauseCause::kNone, "", before.available() ? before.since_ns : now_ns};
}

}  // namespace shoal
