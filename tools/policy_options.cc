#include "tools/policy_options.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "base/atomic_file.h"
#include "node/profiler.h"
#include "tools/toml_table.h"

namespace shoal {

namespace {

constexpr int64_t kMaxFileBytes = 64 << 10;
constexpr double kMostMemoryMib = 1 << 24;
constexpr double kMostHeatC = 150;
constexpr double kMostNice = 19;

Status SetHours(const std::vector<std::string>& texts, std::vector<HourRange>& into) {
  into.clear();
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(const HourRange range, ParseHourRange(text));
    into.push_back(range);
  }
  return OkStatus();
}

Status ReadTable(const TomlTable& table, NodeAllowance& into) {
  NodePolicy& policy = into.policy;
  RETURN_IF_ERROR(
      table.CheckKeys({"cpu_share", "nice", "memory_limit_mib", "least_free_memory_mib",
                       "battery_least_percent", "hottest_c", "hours", "pause_when_active"}));
  RETURN_IF_ERROR(table.Read("cpu_share", {0.01, 1}, 1, into.cpu_share));
  int64_t nice = into.nice, least_mib = policy.least_free_memory_bytes >> 20;
  int64_t battery = policy.battery_least_percent;
  RETURN_IF_ERROR(table.Read("nice", {0, kMostNice}, nice));
  RETURN_IF_ERROR(table.Read("memory_limit_mib", {0, kMostMemoryMib}, into.memory_limit_mib));
  RETURN_IF_ERROR(table.Read("least_free_memory_mib", {0, kMostMemoryMib}, least_mib));
  RETURN_IF_ERROR(table.Read("battery_least_percent", {0, 100}, battery));
  RETURN_IF_ERROR(table.Read("hottest_c", {0, kMostHeatC}, 1, policy.hottest_c));
  RETURN_IF_ERROR(table.Read("pause_when_active", policy.pause_when_active));
  std::vector<std::string> hours;
  RETURN_IF_ERROR(table.Read("hours", hours));
  if (const Status set = SetHours(hours, policy.hours); !set.ok()) {
    return table.ErrorAt("hours", set.error().message);
  }
  into.nice = static_cast<int32_t>(nice);
  policy.least_free_memory_bytes = least_mib << 20;
  policy.battery_least_percent = static_cast<int32_t>(battery);
  return OkStatus();
}

}  // namespace

Result<NodeAllowance> ParseNodeToml(std::string_view text, const std::string& file) {
  ASSIGN_OR_RETURN(const toml::table table, ParseToml(text, file));
  NodeAllowance allowance;
  RETURN_IF_ERROR(ReadTable(TomlTable(table, file, ""), allowance));
  return allowance;
}

void AddPolicyOptions(CLI::App& command, PolicyFlags& flags) {
  command.add_option("--policy", flags.file,
                     "File that says what the node may use (default: node.toml of the state "
                     "folder); the flags below win over it");
  command.add_option("--cpu-share", flags.cpu_share, "Share of the performance cores")
      ->check(CLI::Range(0.01, 1.0));
  command.add_option("--nice", flags.nice, "How far other programs come first")
      ->check(CLI::Range(0, static_cast<int>(kMostNice)));
  command
      .add_option("--memory-limit", flags.memory_limit_mib,
                  "MiB the node offers (default: free memory)")
      ->check(CLI::Range(1, 1 << 24));
  command
      .add_option("--least-free-memory", flags.least_free_memory_mib,
                  "Pause when fewer MiB are free (default: 128)")
      ->check(CLI::Range(0, 1 << 24));
  command
      .add_option("--battery-least", flags.battery_least_percent,
                  "Pause while on battery below this percentage; 100: whenever on battery")
      ->check(CLI::Range(0, 100));
  command.add_option("--hottest", flags.hottest_c, "Pause above this temperature, in Celsius")
      ->check(CLI::Range(0.0, kMostHeatC));
  command.add_option("--hours", flags.hours, "Only at these times of day, like 22:00-07:00")
      ->delimiter(',');
  command.add_flag("--pause-when-active", flags.pause_when_active,
                   "Pause while somebody uses the device (as systemd's login manager says)");
}

Result<NodeAllowance> ReadAllowance(const PolicyFlags& flags, const std::string& state_folder) {
  NodeAllowance allowance;
  if (!flags.file.empty() || !state_folder.empty()) {
    const std::string file = flags.file.empty() ? state_folder + "/node.toml" : flags.file;
    const Result<std::string> text = ReadFileUpTo(file, kMaxFileBytes);
    if (text.ok()) {
      ASSIGN_OR_RETURN(allowance, ParseNodeToml(*text, file));
    } else if (!flags.file.empty() || text.error().code != ErrorCode::kNotFound) {
      return text.error();
    }
  }
  NodePolicy& policy = allowance.policy;
  if (flags.cpu_share > 0) allowance.cpu_share = flags.cpu_share;
  if (flags.nice >= 0) allowance.nice = flags.nice;
  if (flags.memory_limit_mib >= 0) allowance.memory_limit_mib = flags.memory_limit_mib;
  if (flags.least_free_memory_mib >= 0) {
    policy.least_free_memory_bytes = flags.least_free_memory_mib << 20;
  }
  if (flags.battery_least_percent >= 0) policy.battery_least_percent = flags.battery_least_percent;
  if (flags.hottest_c >= 0) policy.hottest_c = flags.hottest_c;
  if (!flags.hours.empty()) RETURN_IF_ERROR(SetHours(flags.hours, policy.hours));
  if (flags.pause_when_active) policy.pause_when_active = true;
  return allowance;
}

Status UseShareOfCpu(const NodeAllowance& allowance, int& threads) {
  if (threads == 0) {
    const double share = allowance.cpu_share * UsePerformanceCores();
    threads = std::max(1, static_cast<int>(std::lround(share)));
  }
  // It may have begun with more, which it could not take back.
  const int nice = std::max(allowance.nice, ::getpriority(PRIO_PROCESS, 0));
  if (allowance.nice > 0 && ::setpriority(PRIO_PROCESS, 0, nice) != 0) {
    return FailedPrecondition(fmt::format("--nice {}: {}", allowance.nice, std::strerror(errno)));
  }
  return OkStatus();
}

}  // namespace shoal
