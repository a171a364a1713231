// Any bytes as a profile from a node and as a request to a node: refused with an error that names
// what is wrong, or every number is one that the cost model and the profiler can work with.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "coordinator/service/profile_message.h"
#include "node/compute_profiler.h"
#include "node/service/node_profile.h"

namespace shoal {
namespace {

void ReadAsProfile(const uint8_t* data, size_t size) {
  v1::ProfileMessage message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return;
  const Result<DeviceProfile> device = DeviceFromMessage("node", message);
  if (!device.ok()) {
    CHECK(device.error().code == ErrorCode::kInvalidArgument, "an error of the peer's");
    CHECK(device.error().message.find("node") != std::string::npos, "an error names the node");
    return;
  }
  CHECK(!device->speeds.empty(), "a device without a speed");
  for (const double seconds : {device->matrix_s, device->layer_s, device->step_s}) {
    CHECK(std::isfinite(seconds) && seconds >= 0, "a time");
  }
}

void ReadAsRequest(const uint8_t* data, size_t size) {
  v1::ProfileRequest message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return;
  const Result<ProfileOrder> order = ReadProfileRequest(message);
  if (!order.ok()) return;
  CHECK(CheckLayerDims(order->dims).ok(), "a layer that can be measured");
  CHECK(!order->types.empty() && order->types.size() <= 64, "types");
}

}  // namespace
}  // namespace shoal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shoal::ReadAsProfile(data, size);
  shoal::ReadAsRequest(data, size);
  return 0;
}
