// Any text as an option or an event file of the simulator: read or refused, and what is read keeps
// what its header promises. The first byte chooses which.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "tools/simulator/event_files.h"
#include "tools/simulator/option_parse.h"
#include "tools/simulator/sweep.h"

namespace {

using shoal::Cluster;
using shoal::DeviceProfile;

Cluster TwoDevices() {
  DeviceProfile device;
  device.speeds = {{"*", {{1, 1e9}}}};
  device.name = "pi-1";
  DeviceProfile other = device;
  other.name = "pi-2";
  return shoal::UniformCluster({device, other}, {.bytes_per_s = 1e8});
}

void CheckTrace(std::string_view text) {
  const auto trace = shoal::ParseTrace(text, "fuzz.csv");
  if (!trace.ok()) return;
  CHECK(!trace->empty(), "a trace has requests");
  double before_s = 0;
  for (const shoal::TraceRequest& request : *trace) {
    CHECK(request.arrival_s >= before_s && request.arrival_s <= shoal::kMaxSeconds, "ascending");
    CHECK(request.prompt_tokens >= 1 && request.output_tokens >= 1, "tokens to read and to answer");
    before_s = request.arrival_s;
  }
}

void CheckChurnEvents(std::string_view text, const Cluster& cluster) {
  const auto events = shoal::ParseChurnEvents(text, "fuzz.csv", cluster);
  if (!events.ok()) return;
  for (const shoal::ChurnEvent& event : *events) {
    CHECK(event.device >= 0 && event.device < cluster.device_count(), "a device that exists");
  }
}

void CheckSweep(std::string_view text, const Cluster& cluster) {
  const auto axis = shoal::ParseSweep(text, cluster);
  if (!axis.ok()) return;
  CHECK(!axis->values.empty(), "an axis has values");
  for (const double value : axis->values) CHECK(std::isfinite(value), "values are finite");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Cluster cluster = TwoDevices();
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 6) {
    case 0: CheckTrace(text); break;
    case 1: CheckChurnEvents(text, cluster); break;
    case 2: CheckSweep(text, cluster); break;
    case 3: static_cast<void>(shoal::ParseTokens("tokens", text)); break;
    case 4: static_cast<void>(shoal::ParseJitter(text)); break;
    default: static_cast<void>(shoal::ParseStraggler(text, cluster)); break;
  }
  return 0;
}
