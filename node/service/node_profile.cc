#include "node/service/node_profile.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <span>
#include <utility>

#include "base/log.h"
#include "base/sha256.h"
#include "net/channel.h"
#include "node/compute_profiler.h"
#include "node/device_state.h"
#include "node/disk_speed.h"
#include "node/profiler.h"

namespace shoal {

namespace {

constexpr std::streamsize kMaxEntryBytes = 1 << 20;

std::filesystem::path EntryPath(const std::string& cache_folder, const std::string& key) {
  constexpr size_t kDigits = 32;
  const std::string name = ToHex(Sha256Of(std::as_bytes(std::span(key)))).substr(0, kDigits);
  return std::filesystem::path(cache_folder) / "profiles" / (name + ".json");
}

// Whatever the cache holds under this key, however old.
std::optional<v1::ProfileMessage> ReadEntry(const std::string& cache_folder,
                                            const std::string& key) {
  if (cache_folder.empty()) return std::nullopt;
  std::ifstream file(EntryPath(cache_folder, key), std::ios::binary);
  std::string text(kMaxEntryBytes, '\0');
  file.read(text.data(), kMaxEntryBytes);
  text.resize(static_cast<size_t>(file.gcount()));
  v1::ProfileMessage profile;
  if (text.empty() || !google::protobuf::util::JsonStringToMessage(text, &profile).ok() ||
      profile.key() != key) {
    return std::nullopt;
  }
  return profile;
}

bool HasTypes(const v1::ProfileMessage& profile, const std::vector<TensorType>& types) {
  return std::all_of(types.begin(), types.end(), [&](TensorType type) {
    return std::any_of(profile.types().begin(), profile.types().end(), [&](const auto& rate) {
      return rate.type() == static_cast<uint32_t>(type);
    });
  });
}

bool IsFresh(const v1::ProfileMessage& profile, int64_t now_unix_s) {
  const int64_t age_s = now_unix_s - profile.measured_unix_s();
  return age_s >= 0 && age_s < kProfileFreshS;
}

Result<TensorType> ReadType(uint32_t number) {
  const TensorTypeInfo* info = FindTensorType(number);
  if (info == nullptr) {
    return Unimplemented(fmt::format("types: {}; supported: {}", DescribeTensorType(number),
                                     SupportedTensorTypes()));
  }
  return info->type;
}

void ToMessage(const ComputeProfile& compute, v1::ProfileMessage& message) {
  for (const TypeRate& rate : compute.types) {
    v1::TypeRateMessage& type = *message.add_types();
    type.set_type(static_cast<uint32_t>(rate.type));
    for (const BatchRate& batch : rate.batches) {
      v1::BatchRateMessage& to = *type.add_batches();
      to.set_tokens(batch.tokens);
      to.set_bytes_per_s(batch.bytes_per_s);
    }
  }
  message.set_attention_decode_macs_per_s(compute.attention_decode_macs_per_s);
  message.set_attention_prefill_macs_per_s(compute.attention_prefill_macs_per_s);
  message.set_elementwise_values_per_s(compute.elementwise_values_per_s);
  message.set_matrix_s(compute.matrix_s);
  message.set_layer_s(compute.layer_s);
  message.set_step_s(compute.step_s);
}

// 0 where it cannot be measured: only the loading time is predicted from it.
double DiskBytesPerS(const ProfilePlace& place, const Clock& clock) {
  if (place.model_path.empty() && place.cache_folder.empty()) return 0;
  std::error_code ignored;
  std::filesystem::create_directories(place.cache_folder, ignored);
  const Result<double> speed = place.model_path.empty()
                                   ? MeasureFolderBytesPerS(place.cache_folder, clock)
                                   : MeasureDiskBytesPerS(place.model_path, clock);
  if (!speed.ok()) spdlog::warn("disk speed: {}", speed.error().message);
  return speed.ok() ? *speed : 0;
}

}  // namespace

Result<ProfileOrder> ReadProfileRequest(const v1::ProfileRequest& request) {
  ProfileOrder order;
  order.refresh = request.refresh();
  if (request.has_dims()) {
    const v1::LayerDimsMessage& dims = request.dims();
    ASSIGN_OR_RETURN(const TensorType kv_type, ReadType(dims.kv_type()));
    order.dims = {dims.model_dim(), dims.heads(),   dims.kv_heads(),
                  dims.head_dim(),  dims.ffn_dim(), kv_type};
  }
  RETURN_IF_ERROR(CheckLayerDims(order.dims));
  for (const uint32_t number : request.types()) {
    ASSIGN_OR_RETURN(const TensorType type, ReadType(number));
    if (std::find(order.types.begin(), order.types.end(), type) != order.types.end()) {
      return InvalidArgument(fmt::format("types: {} stands there twice", InfoOf(type).name));
    }
    order.types.push_back(type);
  }
  if (order.types.empty()) order.types = CommonTypes();
  return order;
}

std::string ProfileKey(const ProfilePlace& place, kernels::Isa isa, const LayerDims& dims) {
  return fmt::format(
      "{}, {} bytes of memory, {} threads, {}, {}; layer {} wide, {} heads of {}, {} KV heads, {} "
      "feed-forward, KV {}",
      place.hardware, place.memory_bytes, place.threads, kernels::IsaName(isa), BuildId(),
      dims.model_dim, dims.heads, dims.head_dim, dims.kv_heads, dims.ffn_dim,
      InfoOf(dims.kv_type).name);
}

std::optional<v1::ProfileMessage> FindProfile(const std::string& cache_folder,
                                              const std::string& key,
                                              const std::vector<TensorType>& types,
                                              int64_t now_unix_s) {
  std::optional<v1::ProfileMessage> profile = ReadEntry(cache_folder, key);
  if (!profile || !IsFresh(*profile, now_unix_s) || !HasTypes(*profile, types)) {
    return std::nullopt;
  }
  return profile;
}

void KeepProfile(const std::string& cache_folder, const v1::ProfileMessage& profile) {
  if (cache_folder.empty()) return;
  const std::filesystem::path path = EntryPath(cache_folder, profile.key());
  std::error_code failed;
  std::filesystem::create_directories(path.parent_path(), failed);
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  if (!google::protobuf::util::MessageToJsonString(profile, &text, options).ok()) return;
  const std::filesystem::path draft = path.string() + fmt::format(".{}", ::getpid());
  std::ofstream entry(draft, std::ios::binary);
  entry << text;
  entry.close();
  if (entry) std::filesystem::rename(draft, path, failed);
  if (!entry || failed) std::filesystem::remove(draft, failed);
}

Result<v1::ProfileMessage> MeasureNode(const kernels::KernelTable& kernels, ThreadPool& pool,
                                       const ProfileOrder& order, const ProfilePlace& place,
                                       const Clock& clock, int64_t now_unix_s,
                                       const std::function<bool(int32_t, int32_t)>& progress) {
  v1::ProfileMessage profile;
  profile.set_key(ProfileKey(place, kernels.isa, order.dims));
  profile.set_measured_unix_s(now_unix_s);
  profile.set_hardware(place.hardware);
  profile.set_threads(place.threads);
  profile.set_isa(std::string(kernels::IsaName(kernels.isa)));

  ComputeProfileOptions options;
  options.dims = order.dims;
  options.types = order.types;
  if (const auto known = ReadEntry(place.cache_folder, profile.key())) {
    for (const v1::TypeRateMessage& rate : known->types()) {
      const TensorTypeInfo* info = FindTensorType(rate.type());
      if (info != nullptr && std::find(options.types.begin(), options.types.end(), info->type) ==
                                 options.types.end()) {
        options.types.push_back(info->type);
      }
    }
  }
  ASSIGN_OR_RETURN(const ComputeProfile compute,
                   MeasureCompute(kernels, pool, options, clock, progress));
  ToMessage(compute, profile);
  profile.set_memory_bytes_per_s(MeasureMemoryBytesPerS(pool));
  profile.set_disk_read_bytes_per_s(DiskBytesPerS(place, clock));
  KeepProfile(place.cache_folder, profile);
  return profile;
}

ProfilePlace PlaceHere(int threads, std::string cache_folder, std::string model_path) {
  return {ReadHardwareName("/"), TotalMemoryBytes(), threads, std::move(cache_folder),
          std::move(model_path)};
}

void AddPresentState(int64_t memory_bytes, v1::ProfileMessage& profile) {
  profile.set_memory_bytes(memory_bytes);
  for (const CoreClass& cores : CoreClasses(AllowedCpus())) {
    v1::CoreClassMessage& to = *profile.add_cores();
    to.set_cores(cores.cores);
    to.set_capacity(cores.capacity);
  }
  const DeviceState state = ReadDeviceState("/");
  profile.set_battery_percent(state.battery_percent);
  profile.set_on_battery(state.on_battery);
  profile.set_temperature_c(state.temperature_c);
}

}  // namespace shoal
