// The devices of a mesh and the links between them, as they were measured or published.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace shoal {

// How fast a device passes over weights of one type when a matrix product serves `tokens` tokens at
// once: few tokens are bound by memory, many by arithmetic.
struct BatchSpeed {
  int32_t tokens = 1;
  double bytes_per_s = 0;  // of weights

  bool operator==(const BatchSpeed&) const = default;
};

struct TypeSpeed {
  std::string type;                 // "Q4_K"; "*" stands for every type that is not listed
  std::vector<BatchSpeed> batches;  // ascending tokens, at least one

  bool operator==(const TypeSpeed&) const = default;
};

struct DeviceProfile {
  std::string name;
  std::string hardware;      // what it is, for people
  std::string source;        // where the numbers are from; empty: measured by this program
  int64_t memory_bytes = 0;  // that it may use for this model
  std::vector<TypeSpeed> speeds;
  double attention_decode_macs_per_s = 0;   // one token per session; 0: attention costs nothing
  double attention_prefill_macs_per_s = 0;  // many tokens of one session; 0: as decode
  double elementwise_values_per_s = 0;      // 0: costs nothing
  double matrix_s = 0;                      // of each matrix product, whatever its size
  double layer_s = 0;                       // of each layer in each step, whatever its size
  double step_s = 0;                        // of each step in this stage: receive, unpack, send
  double busy_watts = 0;                    // 0: unknown
  double idle_watts = 0;
  // If given, seconds for one token in each layer (the model's count of them), and nothing above
  // but memory, step_s and watts counts. The head then is a layer too.
  std::vector<double> given_layer_s;

  bool operator==(const DeviceProfile&) const = default;
};

// Who opens the connection of a link between devices: one of its ends, or both dial the
// coordinator, which relays.
enum class LinkOpener : uint8_t { kSender, kReceiver, kRelay };

// One direction between two endpoints.
struct LinkProfile {
  bool usable = true;        // false: neither end can dial the other
  double latency_s = 0;      // one way, median, of a small message over the pipeline's channel
  double latency_p95_s = 0;  // 0: unknown
  double bytes_per_s = 0;    // of a large message; REQUIRES > 0 where usable
  LinkOpener opener = LinkOpener::kSender;  // costs nothing in itself
  bool operator==(const LinkProfile&) const = default;
};

// Devices and the links between all of them and the coordinator. Endpoint i < devices.size() is
// device i; endpoint devices.size() is the coordinator.
struct Cluster {
  std::vector<DeviceProfile> devices;
  std::vector<LinkProfile> links;  // [endpoints, endpoints], row: from; the diagonal is ignored

  int32_t device_count() const { return static_cast<int32_t>(devices.size()); }
  int32_t endpoint_count() const { return device_count() + 1; }
  int32_t coordinator() const { return device_count(); }
  const LinkProfile& link(int32_t from, int32_t to) const {
    return links[static_cast<size_t>(from) * static_cast<size_t>(endpoint_count()) +
                 static_cast<size_t>(to)];
  }
  LinkProfile& link(int32_t from, int32_t to) {
    return links[static_cast<size_t>(from) * static_cast<size_t>(endpoint_count()) +
                 static_cast<size_t>(to)];
  }
};

// A cluster whose endpoints are all linked alike.
Cluster UniformCluster(std::vector<DeviceProfile> devices, const LinkProfile& link);

// Errors (kInvalidArgument, naming the device or the link and the value): no devices, two devices
// of one name, a number that is negative, infinite or not a number, a device without a speed,
// batches that do not ascend, a matrix of links of another size, a usable link without bandwidth.
// After it passed, no cost is infinite or not a number.
Status CheckCluster(const Cluster& cluster);

}  // namespace shoal
