#include "partitioner/cluster.h"

#include <fmt/format.h>

#include <set>

namespace shoal {

namespace {

// Seconds or watts: sums and products of these stay finite.
constexpr double kMostSeconds = 1e12;

Status CheckNumber(const std::string& where, const char* what, double value) {
  if (value >= 0 && value <= kMostSeconds) return OkStatus();
  return InvalidArgument(
      fmt::format("{}: {} is {}: expected 0 to {:g}", where, what, value, kMostSeconds));
}

// A speed is divided by: between these no cost is infinite or nothing.
constexpr double kLeastPerS = 1e-3;
constexpr double kMostPerS = 1e18;

Status CheckSpeed(const std::string& where, const char* what, double per_s) {
  if (per_s >= kLeastPerS && per_s <= kMostPerS) return OkStatus();
  return InvalidArgument(fmt::format("{}: {} is {}: expected {:g} to {:g}", where, what, per_s,
                                     kLeastPerS, kMostPerS));
}

Status CheckTypeSpeed(const DeviceProfile& device, const TypeSpeed& speed) {
  const std::string where = device.name + ": speed of " + speed.type;
  if (speed.batches.empty()) return InvalidArgument(where + ": there is no measurement");
  int32_t last = 0;
  for (const BatchSpeed& batch : speed.batches) {
    if (batch.tokens <= last) {
      return InvalidArgument(
          fmt::format("{}: tokens {} do not ascend from {}", where, batch.tokens, last));
    }
    last = batch.tokens;
    RETURN_IF_ERROR(CheckSpeed(where, "bytes_per_s", batch.bytes_per_s));
  }
  return OkStatus();
}

// Rates of which zero means "costs nothing".
Status CheckOptionalSpeed(const DeviceProfile& device, const char* what, double per_s) {
  return per_s == 0 ? OkStatus() : CheckSpeed(device.name, what, per_s);
}

Status CheckDevice(const DeviceProfile& device) {
  if (device.name.empty()) return InvalidArgument("a device has no name");
  if (device.memory_bytes < 0) {
    return InvalidArgument(fmt::format("{}: memory_bytes is {}: it cannot be negative", device.name,
                                       device.memory_bytes));
  }
  if (device.speeds.empty() && device.given_layer_s.empty()) {
    return InvalidArgument(device.name + ": no speed is given");
  }
  for (const TypeSpeed& speed : device.speeds) RETURN_IF_ERROR(CheckTypeSpeed(device, speed));
  RETURN_IF_ERROR(CheckOptionalSpeed(device, "attention_decode_macs_per_s",
                                     device.attention_decode_macs_per_s));
  RETURN_IF_ERROR(CheckOptionalSpeed(device, "attention_prefill_macs_per_s",
                                     device.attention_prefill_macs_per_s));
  RETURN_IF_ERROR(
      CheckOptionalSpeed(device, "elementwise_values_per_s", device.elementwise_values_per_s));
  RETURN_IF_ERROR(CheckNumber(device.name, "matrix_s", device.matrix_s));
  RETURN_IF_ERROR(CheckNumber(device.name, "layer_s", device.layer_s));
  RETURN_IF_ERROR(CheckNumber(device.name, "step_s", device.step_s));
  RETURN_IF_ERROR(CheckNumber(device.name, "busy_watts", device.busy_watts));
  RETURN_IF_ERROR(CheckNumber(device.name, "idle_watts", device.idle_watts));
  for (const double seconds : device.given_layer_s) {
    RETURN_IF_ERROR(CheckNumber(device.name, "given_layer_s", seconds));
  }
  return OkStatus();
}

std::string EndpointName(const Cluster& cluster, int32_t endpoint) {
  if (endpoint == cluster.coordinator()) return "coordinator";
  return cluster.devices[static_cast<size_t>(endpoint)].name;
}

Status CheckLink(const Cluster& cluster, int32_t from, int32_t to) {
  const LinkProfile& link = cluster.link(from, to);
  if (from == to || !link.usable) return OkStatus();
  const std::string where =
      fmt::format("link from {} to {}", EndpointName(cluster, from), EndpointName(cluster, to));
  RETURN_IF_ERROR(CheckNumber(where, "latency_s", link.latency_s));
  RETURN_IF_ERROR(CheckNumber(where, "latency_p95_s", link.latency_p95_s));
  return CheckSpeed(where, "bytes_per_s", link.bytes_per_s);
}

}  // namespace

Cluster UniformCluster(std::vector<DeviceProfile> devices, const LinkProfile& link) {
  Cluster cluster;
  const size_t endpoints = devices.size() + 1;
  cluster.devices = std::move(devices);
  cluster.links.assign(endpoints * endpoints, link);
  return cluster;
}

Status CheckCluster(const Cluster& cluster) {
  if (cluster.devices.empty()) return InvalidArgument("there are no devices");
  std::set<std::string> names;
  for (const DeviceProfile& device : cluster.devices) {
    RETURN_IF_ERROR(CheckDevice(device));
    if (!names.insert(device.name).second) {
      return InvalidArgument(device.name + ": two devices have this name");
    }
  }
  const size_t endpoints = cluster.devices.size() + 1;
  if (cluster.links.size() != endpoints * endpoints) {
    return InvalidArgument(fmt::format("there are {} links, {} endpoints have {}",
                                       cluster.links.size(), endpoints, endpoints * endpoints));
  }
  for (int32_t from = 0; from < cluster.endpoint_count(); ++from) {
    for (int32_t to = 0; to < cluster.endpoint_count(); ++to) {
      RETURN_IF_ERROR(CheckLink(cluster, from, to));
    }
  }
  return OkStatus();
}

}  // namespace shoal
