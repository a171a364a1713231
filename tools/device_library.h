// Profiles of devices and kinds of networks that a cluster file may name, and the keys that these
// have in TOML. The data is deploy/device-library.toml, which is built into the program: every
// profile says whether its numbers were measured or published, and where. Pure functions.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "partitioner/cluster.h"
#include "tools/toml_table.h"

namespace shoal {

// What joins devices. The numbers are those between two devices of this kind; of two kinds, the
// latency is the mean and the bandwidth the smaller one.
struct Network {
  double latency_s = 0;  // one way
  double latency_p95_s = 0;
  double bytes_per_s = 0;
  bool shared = false;  // both ends' transmissions take turns on one channel: bandwidth is halved
};
LinkProfile LinkBetween(const Network& a, const Network& b);

struct DeviceLibrary {
  std::map<std::string, DeviceProfile, std::less<>> profiles;  // by name
  std::map<std::string, Network, std::less<>> networks;
};

// Keys of a device but `name`, `count`, `profile` and `network`; what is not given stays.
Status ReadDeviceKeys(const TomlTable& table, DeviceProfile& device);
// All keys of a network. `latency_ms` and `mbit_per_s` must be given.
Result<Network> ReadNetwork(const TomlTable& table);

// Errors: kInvalidArgument with file, line and key.
Result<DeviceLibrary> ParseDeviceLibrary(std::string_view text, const std::string& file);
// The one that is built in.
Result<DeviceLibrary> BuiltInDeviceLibrary();

// Ranges of what files may say, in the files' units.
constexpr NumberRange kLatencyMsRange{0, 1e5};
constexpr NumberRange kMbitRange{1e-3, 1e9};
constexpr NumberRange kGibRange{0, 1 << 20};

constexpr double kGib = 1024.0 * 1024 * 1024;
constexpr double kMs = 1e-3;
constexpr double kUs = 1e-6;
constexpr double kBytesPerMbit = 1e6 / 8;

}  // namespace shoal
