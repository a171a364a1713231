#include "coordinator/service/profile_message.h"

#include <fmt/format.h>

#include "model/gguf/tensor_type.h"

namespace shoal {

namespace {

constexpr int kMaxTypes = 64;
constexpr int kMaxBatches = 32;
constexpr size_t kMaxHardwareBytes = 256;

Status CheckCount(const std::string& where, int count, int most) {
  if (count <= most) return OkStatus();
  return InvalidArgument(fmt::format("{}: {} of at most {}", where, count, most));
}

Result<TypeSpeed> SpeedFromMessage(const std::string& name, const v1::TypeRateMessage& message) {
  const TensorTypeInfo* info = FindTensorType(message.type());
  if (info == nullptr) {
    return InvalidArgument(fmt::format("{}: types: {}", name, DescribeTensorType(message.type())));
  }
  RETURN_IF_ERROR(CheckCount(name + ": batches", message.batches_size(), kMaxBatches));
  TypeSpeed speed;
  speed.type = info->name;
  for (const v1::BatchRateMessage& batch : message.batches()) {
    speed.batches.push_back({batch.tokens(), batch.bytes_per_s()});
  }
  return speed;
}

// A cluster of nothing but this device passes the gate if the device does.
Status CheckDevice(const DeviceProfile& device) {
  return CheckCluster(UniformCluster({device}, {.bytes_per_s = 1}));
}

}  // namespace

void TargetToMessage(const ProfileTarget& target, v1::ProfileRequest& request) {
  for (const TensorType type : target.types) request.add_types(static_cast<uint32_t>(type));
  if (target.model_dim == 0) return;
  v1::LayerDimsMessage& dims = *request.mutable_dims();
  dims.set_model_dim(target.model_dim);
  dims.set_heads(target.heads);
  dims.set_kv_heads(target.kv_heads);
  dims.set_head_dim(target.head_dim);
  dims.set_ffn_dim(target.ffn_dim);
  dims.set_kv_type(static_cast<uint32_t>(target.kv_type));
}

Result<DeviceProfile> DeviceFromMessage(const std::string& name,
                                        const v1::ProfileMessage& message) {
  DeviceProfile device;
  device.name = name;
  device.hardware =
      fmt::format("{}, {} threads, {}", message.hardware().substr(0, kMaxHardwareBytes),
                  message.threads(), message.isa().substr(0, kMaxHardwareBytes));
  device.memory_bytes = message.memory_bytes();
  RETURN_IF_ERROR(CheckCount(name + ": types", message.types_size(), kMaxTypes));
  for (const v1::TypeRateMessage& type : message.types()) {
    ASSIGN_OR_RETURN(TypeSpeed speed, SpeedFromMessage(name, type));
    device.speeds.push_back(std::move(speed));
  }
  device.attention_decode_macs_per_s = message.attention_decode_macs_per_s();
  device.attention_prefill_macs_per_s = message.attention_prefill_macs_per_s();
  device.elementwise_values_per_s = message.elementwise_values_per_s();
  device.matrix_s = message.matrix_s();
  device.layer_s = message.layer_s();
  device.step_s = message.step_s();
  RETURN_IF_ERROR(CheckDevice(device));
  return device;
}

Status CheckMeasurement(const LinkMeasurement& link, const std::string& peer) {
  DeviceProfile device;
  device.name = peer;
  device.speeds = {{"*", {{1, 1}}}};
  for (const double bytes_per_s : {link.send_bytes_per_s, link.receive_bytes_per_s}) {
    const LinkProfile profile = {true, link.round_trip_s, link.round_trip_p95_s,
                                 bytes_per_s == 0 ? 1 : bytes_per_s};
    RETURN_IF_ERROR(CheckCluster(UniformCluster({device}, profile)));
  }
  return OkStatus();
}

}  // namespace shoal
