#include "tools/device_library.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tools/device_library_data.h"
#include "tools/units.h"

namespace shoal {

namespace {

constexpr NumberRange kRate{1e-6, 1e9};       // in units of a thousand million a second
constexpr NumberRange kOptionalRate{0, 1e9};  // 0: costs nothing
constexpr NumberRange kSmallUs{0, 1e9};
constexpr NumberRange kWatts{0, 1e5};
constexpr NumberRange kTokens{1, 1 << 20};

Result<TypeSpeed> ReadSpeed(const TomlTable& table) {
  RETURN_IF_ERROR(table.CheckKeys({"type", "tokens", "gb_per_s"}));
  TypeSpeed speed{"*", {}};
  std::vector<double> tokens = {1};
  std::vector<double> rates;
  RETURN_IF_ERROR(table.Read("type", speed.type));
  RETURN_IF_ERROR(table.Read("tokens", kTokens, 1, tokens));
  RETURN_IF_ERROR(table.Read("gb_per_s", kRate, kGiga, rates));
  if (rates.empty() || rates.size() != tokens.size()) {
    return table.ErrorAt("gb_per_s", fmt::format("{} speeds are given for {} counts of tokens",
                                                 rates.size(), tokens.size()));
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto count = static_cast<int32_t>(tokens[i]);
    if (tokens[i] != std::floor(tokens[i]) || (i > 0 && count <= speed.batches.back().tokens)) {
      return table.ErrorAt("tokens", "expected whole numbers that ascend");
    }
    speed.batches.push_back({count, rates[i]});
  }
  return speed;
}

Status ReadSpeeds(const TomlTable& table, DeviceProfile& device) {
  ASSIGN_OR_RETURN(const std::vector<TomlTable> entries, table.Tables("speed"));
  if (entries.empty()) return OkStatus();
  device.speeds.clear();
  for (const TomlTable& entry : entries) {
    ASSIGN_OR_RETURN(TypeSpeed speed, ReadSpeed(entry));
    const bool twice = std::any_of(device.speeds.begin(), device.speeds.end(),
                                   [&](const TypeSpeed& s) { return s.type == speed.type; });
    if (twice) return entry.ErrorAt("type", speed.type + " stands twice");
    device.speeds.push_back(std::move(speed));
  }
  return OkStatus();
}

}  // namespace

LinkProfile LinkBetween(const Network& a, const Network& b) {
  LinkProfile link;
  link.latency_s = (a.latency_s + b.latency_s) / 2;
  link.latency_p95_s = (a.latency_p95_s + b.latency_p95_s) / 2;
  link.bytes_per_s = std::min(a.bytes_per_s, b.bytes_per_s);
  if (a.shared && b.shared) link.bytes_per_s /= 2;
  return link;
}

Status ReadDeviceKeys(const TomlTable& table, DeviceProfile& device) {
  RETURN_IF_ERROR(table.Read("hardware", device.hardware));
  RETURN_IF_ERROR(table.Read("source", device.source));
  double memory = static_cast<double>(device.memory_bytes);
  RETURN_IF_ERROR(table.Read("memory_gib", kGibRange, kGib, memory));
  device.memory_bytes = std::llround(memory);
  RETURN_IF_ERROR(ReadSpeeds(table, device));
  RETURN_IF_ERROR(table.Read("attention_decode_gmacs_per_s", kOptionalRate, kGiga,
                             device.attention_decode_macs_per_s));
  RETURN_IF_ERROR(table.Read("attention_prefill_gmacs_per_s", kOptionalRate, kGiga,
                             device.attention_prefill_macs_per_s));
  RETURN_IF_ERROR(table.Read("elementwise_gvalues_per_s", kOptionalRate, kGiga,
                             device.elementwise_values_per_s));
  RETURN_IF_ERROR(table.Read("matrix_us", kSmallUs, kUs, device.matrix_s));
  RETURN_IF_ERROR(table.Read("layer_us", kSmallUs, kUs, device.layer_s));
  RETURN_IF_ERROR(table.Read("step_us", kSmallUs, kUs, device.step_s));
  RETURN_IF_ERROR(table.Read("busy_watts", kWatts, 1, device.busy_watts));
  RETURN_IF_ERROR(table.Read("idle_watts", kWatts, 1, device.idle_watts));
  return table.Read("layer_ms", {0, 1e7}, kMs, device.given_layer_s);
}

Result<Network> ReadNetwork(const TomlTable& table) {
  RETURN_IF_ERROR(table.CheckKeys({"latency_ms", "latency_p95_ms", "mbit_per_s", "shared"}));
  for (const char* key : {"latency_ms", "mbit_per_s"}) {
    if (!table.Has(key)) return table.ErrorAt(key, "it is missing");
  }
  Network network;
  RETURN_IF_ERROR(table.Read("latency_ms", kLatencyMsRange, kMs, network.latency_s));
  RETURN_IF_ERROR(table.Read("latency_p95_ms", kLatencyMsRange, kMs, network.latency_p95_s));
  RETURN_IF_ERROR(table.Read("mbit_per_s", kMbitRange, kBytesPerMbit, network.bytes_per_s));
  RETURN_IF_ERROR(table.Read("shared", network.shared));
  return network;
}

Result<DeviceLibrary> ParseDeviceLibrary(std::string_view text, const std::string& file) {
  ASSIGN_OR_RETURN(const toml::table root, ParseToml(text, file));
  const TomlTable table(root, file, "");
  RETURN_IF_ERROR(table.CheckKeys({"profiles", "networks"}));
  DeviceLibrary library;
  ASSIGN_OR_RETURN(const auto profiles, table.Table("profiles"));
  for (const std::string& name : profiles ? profiles->Keys() : std::vector<std::string>()) {
    ASSIGN_OR_RETURN(const auto entry, profiles->Table(name));
    RETURN_IF_ERROR(entry->CheckKeys(
        {"hardware", "source", "memory_gib", "speed", "attention_decode_gmacs_per_s",
         "attention_prefill_gmacs_per_s", "elementwise_gvalues_per_s", "matrix_us", "layer_us",
         "step_us", "busy_watts", "idle_watts"}));
    DeviceProfile profile;
    profile.name = name;
    RETURN_IF_ERROR(ReadDeviceKeys(*entry, profile));
    if (profile.source.empty()) return entry->ErrorAt("source", "it is missing");
    library.profiles.emplace(name, std::move(profile));
  }
  ASSIGN_OR_RETURN(const auto networks, table.Table("networks"));
  for (const std::string& name : networks ? networks->Keys() : std::vector<std::string>()) {
    ASSIGN_OR_RETURN(const auto entry, networks->Table(name));
    ASSIGN_OR_RETURN(const Network network, ReadNetwork(*entry));
    library.networks.emplace(name, network);
  }
  return library;
}

Result<DeviceLibrary> BuiltInDeviceLibrary() {
  return ParseDeviceLibrary(kDeviceLibraryToml, "device-library.toml");
}

}  // namespace shoal
