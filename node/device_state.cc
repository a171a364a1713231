#include "node/device_state.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>

namespace shoal {

namespace {

constexpr double kHottestC = 200;  // zones that say more are not thermometers

std::string ReadLine(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  while (!line.empty() && (line.back() == '\0' || line.back() == ' ')) line.pop_back();
  return line;
}

std::vector<std::filesystem::path> Entries(const std::string& folder) {
  std::vector<std::filesystem::path> paths;
  std::error_code failed;
  for (std::filesystem::directory_iterator it(folder, failed), end; !failed && it != end;
       it.increment(failed)) {
    paths.push_back(it->path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// That of a mouse or a headset (scope "Device") says nothing of this machine.
void ReadBattery(const std::filesystem::path& supply, DeviceState& state) {
  if (ReadLine(supply / "type") != "Battery" || ReadLine(supply / "scope") == "Device") return;
  int32_t percent = -1;
  if (!(std::ifstream(supply / "capacity") >> percent) || percent < 0 || percent > 100) return;
  if (state.battery_percent >= 0 && state.battery_percent <= percent) return;
  state.battery_percent = percent;
  state.on_battery = ReadLine(supply / "status") == "Discharging";
}

}  // namespace

std::string ReadHardwareName(const std::string& root) {
  std::ifstream file(root + "/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return ReadLine(root + "/proc/device-tree/model");
}

DeviceState ReadDeviceState(const std::string& root) {
  DeviceState state;
  for (const auto& supply : Entries(root + "/sys/class/power_supply")) ReadBattery(supply, state);
  for (const auto& zone : Entries(root + "/sys/class/thermal")) {
    double millidegrees = 0;
    if (!(std::ifstream(zone / "temp") >> millidegrees)) continue;
    const double celsius = millidegrees / 1000;
    if (celsius > 0 && celsius < kHottestC) {
      state.temperature_c = std::max(state.temperature_c, celsius);
    }
  }
  return state;
}

std::vector<CoreClass> CoreClasses(const std::vector<Cpu>& cpus) {
  std::set<int> cores;
  std::map<int64_t, int32_t, std::greater<>> count;
  for (const Cpu& cpu : cpus) {
    if (cores.insert(cpu.core).second) ++count[cpu.capacity];
  }
  std::vector<CoreClass> classes;
  for (const auto& [capacity, number] : count) classes.push_back({number, capacity});
  return classes;
}

}  // namespace shoal
