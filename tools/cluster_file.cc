#include "tools/cluster_file.h"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <map>
#include <sstream>
#include <vector>

#include "partitioner/relay.h"
#include "tools/device_library.h"
#include "tools/toml_table.h"

namespace shoal {

namespace {

// Between the coordinator and a node on the same machine: loopback, as measured with gRPC.
constexpr LinkProfile kLoopback{
    .usable = true, .latency_s = 70e-6, .latency_p95_s = 350e-6, .bytes_per_s = 0.9e9};

// What has been read so far.
struct Reading {
  std::string file;
  DeviceLibrary library;
  std::string default_network = "gigabit";
  std::vector<DeviceProfile> devices;
  std::vector<Network> networks;                          // of each device, then the coordinator's
  std::map<std::string, int32_t, std::less<>> endpoints;  // by name
  int32_t host = -1;  // the device whose machine the coordinator shares
};

Result<Network> NetworkOf(const Reading& reading, const TomlTable& table, std::string_view key) {
  std::string name = reading.default_network;
  RETURN_IF_ERROR(table.Read(key, name));
  const auto found = reading.library.networks.find(name);
  if (found != reading.library.networks.end()) return found->second;
  std::string names;
  for (const auto& [known, network] : reading.library.networks) names += " " + known;
  return table.ErrorAt(key, fmt::format("there is no network {}; there are{}", name, names));
}

Status ReadNetworks(const TomlTable& root, Reading& reading) {
  ASSIGN_OR_RETURN(const auto table, root.Table("networks"));
  for (const std::string& name : table ? table->Keys() : std::vector<std::string>()) {
    ASSIGN_OR_RETURN(const auto entry, table->Table(name));
    ASSIGN_OR_RETURN(reading.library.networks[name], ReadNetwork(*entry));
  }
  RETURN_IF_ERROR(root.Read("network", reading.default_network));
  return NetworkOf(reading, root, "network").ok()
             ? OkStatus()
             : Status(NetworkOf(reading, root, "network").error());
}

Status AddDevice(const TomlTable& table, DeviceProfile device, const Network& network,
                 Reading& reading) {
  if (reading.devices.size() == kMaxClusterDevices) {
    return table.ErrorAt("name", fmt::format("there are more than {} devices", kMaxClusterDevices));
  }
  const auto index = static_cast<int32_t>(reading.devices.size());
  if (device.name == kCoordinatorName || !reading.endpoints.emplace(device.name, index).second) {
    return table.ErrorAt("name", device.name + " is taken");
  }
  reading.devices.push_back(std::move(device));
  reading.networks.push_back(network);
  return OkStatus();
}

Status ReadDevice(const TomlTable& table, Reading& reading) {
  RETURN_IF_ERROR(table.CheckKeys(
      {"name", "count", "profile", "network", "hardware", "source", "memory_gib", "speed",
       "attention_decode_gmacs_per_s", "attention_prefill_gmacs_per_s", "elementwise_gvalues_per_s",
       "matrix_us", "layer_us", "step_us", "busy_watts", "idle_watts", "layer_ms"}));
  DeviceProfile device;
  std::string profile;
  RETURN_IF_ERROR(table.Read("profile", profile));
  if (!profile.empty()) {
    const auto found = reading.library.profiles.find(profile);
    if (found == reading.library.profiles.end()) {
      std::string names;
      for (const auto& [known, value] : reading.library.profiles) names += " " + known;
      return table.ErrorAt("profile",
                           fmt::format("there is no profile {}; there are{}", profile, names));
    }
    device = found->second;
  }
  device.name.clear();
  RETURN_IF_ERROR(table.Read("name", device.name));
  if (device.name.empty()) return table.ErrorAt("name", "it is missing");
  RETURN_IF_ERROR(ReadDeviceKeys(table, device));
  if (device.memory_bytes == 0) return table.ErrorAt("memory_gib", "it is missing");
  if (device.speeds.empty() && device.given_layer_s.empty()) {
    return table.ErrorAt("speed", "it is missing, and neither profile nor layer_ms is given");
  }
  ASSIGN_OR_RETURN(const Network network, NetworkOf(reading, table, "network"));
  if (!table.Has("count")) return AddDevice(table, std::move(device), network, reading);
  int64_t count = 1;
  RETURN_IF_ERROR(table.Read("count", {1, kMaxClusterDevices}, count));
  const std::string name = device.name;
  for (int64_t i = 1; i <= count; ++i) {
    device.name = fmt::format("{}-{}", name, i);
    RETURN_IF_ERROR(AddDevice(table, device, network, reading));
  }
  return OkStatus();
}

Status ReadCoordinator(const TomlTable& root, Reading& reading) {
  std::string host;
  RETURN_IF_ERROR(root.Read("coordinator", host));
  if (!host.empty()) {
    const auto found = reading.endpoints.find(host);
    if (found == reading.endpoints.end()) {
      return root.ErrorAt("coordinator", "there is no device " + host);
    }
    reading.host = found->second;
    if (root.Has("coordinator_network")) {
      return root.ErrorAt("coordinator_network", "the coordinator is on " + host);
    }
    reading.networks.push_back(reading.networks[static_cast<size_t>(reading.host)]);
  } else {
    ASSIGN_OR_RETURN(const Network network, NetworkOf(reading, root, "coordinator_network"));
    reading.networks.push_back(network);
  }
  reading.endpoints.emplace(kCoordinatorName, static_cast<int32_t>(reading.devices.size()));
  return OkStatus();
}

Result<int32_t> EndpointOf(const Reading& reading, const TomlTable& table, std::string_view key,
                           const std::string& name) {
  const auto found = reading.endpoints.find(name);
  if (found == reading.endpoints.end()) return table.ErrorAt(key, "there is no device " + name);
  return found->second;
}

struct Ends {
  int32_t from = 0;
  int32_t to = 0;
  bool both_ways = false;
};

Result<Ends> ReadEnds(const TomlTable& table, const Reading& reading) {
  std::vector<std::string> names;
  Ends ends;
  ends.both_ways = table.Has("between");
  if (ends.both_ways) {
    RETURN_IF_ERROR(table.Read("between", names));
    if (names.size() != 2 || table.Has("from") || table.Has("to")) {
      return table.ErrorAt("between", "expected two names, and neither `from` nor `to`");
    }
  } else {
    names.resize(2);
    RETURN_IF_ERROR(table.Read("from", names[0]));
    RETURN_IF_ERROR(table.Read("to", names[1]));
    if (names[0].empty() || names[1].empty()) {
      return table.ErrorAt("between", "expected it, or `from` and `to`");
    }
  }
  const char* first_key = ends.both_ways ? "between" : "from";
  const char* second_key = ends.both_ways ? "between" : "to";
  ASSIGN_OR_RETURN(ends.from, EndpointOf(reading, table, first_key, names[0]));
  ASSIGN_OR_RETURN(ends.to, EndpointOf(reading, table, second_key, names[1]));
  if (ends.from == ends.to) return table.ErrorAt(second_key, "a link has two different ends");
  return ends;
}

Status ReadLink(const TomlTable& table, const Reading& reading, LinkProfile& link) {
  if (table.Has("network")) {
    ASSIGN_OR_RETURN(const Network network, NetworkOf(reading, table, "network"));
    link = LinkBetween(network, network);
  }
  RETURN_IF_ERROR(table.Read("usable", link.usable));
  RETURN_IF_ERROR(table.Read("latency_ms", kLatencyMsRange, kMs, link.latency_s));
  RETURN_IF_ERROR(table.Read("latency_p95_ms", kLatencyMsRange, kMs, link.latency_p95_s));
  return table.Read("mbit_per_s", kMbitRange, kBytesPerMbit, link.bytes_per_s);
}

// Links that the file gives one by one: of devices among each other, or with the coordinator.
Status ReadLinks(const std::vector<TomlTable>& tables, const Reading& reading, bool coordinator,
                 Cluster& cluster) {
  for (const TomlTable& table : tables) {
    RETURN_IF_ERROR(table.CheckKeys({"between", "from", "to", "network", "usable", "latency_ms",
                                     "latency_p95_ms", "mbit_per_s"}));
    ASSIGN_OR_RETURN(const Ends ends, ReadEnds(table, reading));
    const bool has_coordinator =
        ends.from == cluster.coordinator() || ends.to == cluster.coordinator();
    if (has_coordinator != coordinator) continue;
    RETURN_IF_ERROR(ReadLink(table, reading, cluster.link(ends.from, ends.to)));
    if (!ends.both_ways) continue;
    RETURN_IF_ERROR(ReadLink(table, reading, cluster.link(ends.to, ends.from)));
  }
  return OkStatus();
}

Result<Cluster> BuildCluster(const TomlTable& root, Reading& reading) {
  Cluster cluster = UniformCluster(std::move(reading.devices), LinkProfile{});
  const int32_t endpoints = cluster.endpoint_count();
  for (int32_t from = 0; from < endpoints; ++from) {
    for (int32_t to = 0; to < endpoints; ++to) {
      if (from == to) continue;
      cluster.link(from, to) = LinkBetween(reading.networks[static_cast<size_t>(from)],
                                           reading.networks[static_cast<size_t>(to)]);
    }
  }
  ASSIGN_OR_RETURN(const std::vector<TomlTable> links, root.Tables("link"));
  RETURN_IF_ERROR(ReadLinks(links, reading, false, cluster));
  const int32_t coordinator = cluster.coordinator();
  if (reading.host >= 0) {  // whose links it shares
    for (int32_t other = 0; other < coordinator; ++other) {
      const bool self = other == reading.host;
      cluster.link(coordinator, other) = self ? kLoopback : cluster.link(reading.host, other);
      cluster.link(other, coordinator) = self ? kLoopback : cluster.link(other, reading.host);
    }
  }
  RETURN_IF_ERROR(ReadLinks(links, reading, true, cluster));
  return cluster;
}

Result<ModelShape> ReadModel(const TomlTable& table) {
  RETURN_IF_ERROR(table.CheckKeys({"name", "layer_gib", "activation_kib", "kv_kib_per_token"}));
  std::string name;
  RETURN_IF_ERROR(table.Read("name", name));
  std::vector<double> bytes;
  RETURN_IF_ERROR(table.Read("layer_gib", kGibRange, kGib, bytes));
  constexpr double kKib = 1024;
  std::vector<double> activation_bytes;
  RETURN_IF_ERROR(table.Read("activation_kib", {0, 1e9}, kKib, activation_bytes));
  std::vector<double> kv_bytes(bytes.size(), 0);
  RETURN_IF_ERROR(table.Read("kv_kib_per_token", {0, 1e4}, kKib, kv_bytes));
  if (bytes.empty()) return table.ErrorAt("layer_gib", "it is missing");
  if (activation_bytes.size() != bytes.size() || kv_bytes.size() != bytes.size()) {
    return table.ErrorAt("activation_kib",
                         fmt::format("{} layers have {} sizes of activations and {} of KV",
                                     bytes.size(), activation_bytes.size(), kv_bytes.size()));
  }
  ModelShape model;
  for (size_t i = 0; i < bytes.size(); ++i) {
    LayerShape layer;
    layer.weights = {{"given", std::llround(bytes[i]), 0, 1}};
    layer.activation_bytes = std::llround(activation_bytes[i]);
    layer.kv_bytes_per_token = std::llround(kv_bytes[i]);
    model.layers.push_back(std::move(layer));
  }
  return model;
}

}  // namespace

Result<ClusterFile> ParseClusterFile(std::string_view text, const std::string& file) {
  if (text.size() > kMaxClusterFileBytes) {
    return InvalidArgument(
        fmt::format("{}: {} bytes are more than {}", file, text.size(), kMaxClusterFileBytes));
  }
  ASSIGN_OR_RETURN(const toml::table toml, ParseToml(text, file));
  const TomlTable root(toml, file, "");
  RETURN_IF_ERROR(root.CheckKeys({"title", "coordinator", "coordinator_network", "network",
                                  "networks", "device", "link", "model", "relay"}));
  ClusterFile result;
  RETURN_IF_ERROR(root.Read("title", result.title));
  Reading reading;
  reading.file = file;
  ASSIGN_OR_RETURN(reading.library, BuiltInDeviceLibrary());
  RETURN_IF_ERROR(ReadNetworks(root, reading));
  ASSIGN_OR_RETURN(const std::vector<TomlTable> devices, root.Tables("device"));
  for (const TomlTable& device : devices) RETURN_IF_ERROR(ReadDevice(device, reading));
  RETURN_IF_ERROR(ReadCoordinator(root, reading));
  ASSIGN_OR_RETURN(result.cluster, BuildCluster(root, reading));
  bool relay = false;
  RETURN_IF_ERROR(root.Read("relay", relay));
  if (relay) RelayThroughCoordinator(result.cluster);
  ASSIGN_OR_RETURN(const auto model, root.Table("model"));
  if (model) {
    ASSIGN_OR_RETURN(result.model, ReadModel(*model));
  }
  if (const Status checked = CheckCluster(result.cluster); !checked.ok()) {
    return checked.error().WithContext(file);
  }
  return result;
}

Result<ClusterFile> ReadClusterFile(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::string text(kMaxClusterFileBytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (stream.gcount() == 0) return NotFound(path + ": there is no such file, or nothing in it");
  text.resize(static_cast<size_t>(stream.gcount()));
  return ParseClusterFile(text, path);
}

}  // namespace shoal
