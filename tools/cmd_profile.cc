// `shoal profile`: what this device is measured at, for a model or for common types. The same
// measurement, kept in the same place, as a node's.
#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "coordinator/model_shape.h"
#include "node/compute_profiler.h"
#include "node/profiler.h"
#include "node/service/node_profile.h"
#include "tools/cache_folder.h"
#include "tools/commands.h"
#include "tools/kernel_choice.h"
#include "tools/model_library.h"
#include "tools/signals.h"
#include "tools/terminal.h"
#include "tools/threads_option.h"
#include "tools/units.h"

namespace shoal {

namespace {

constexpr double kMicro = 1e-6;

struct ProfileOptions {
  std::string model;
  int threads = 0;
  bool json = false;
  bool refresh = false;
};

Result<ProfileOrder> OrderOf(const ProfileOptions& options) {
  ProfileOrder order;
  order.refresh = options.refresh;
  order.types = CommonTypes();
  if (options.model.empty()) return order;
  ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(options.model));
  ASSIGN_OR_RETURN(const ProfileTarget target, ReadProfileTarget(file, TensorType::kF16));
  order.dims = {target.model_dim, target.heads,   target.kv_heads,
                target.head_dim,  target.ffn_dim, target.kv_type};
  order.types = target.types;
  return order;
}

std::string SpeedTable(const v1::ProfileMessage& profile) {
  std::string text = "weights, GB/s for a batch of";
  const v1::TypeRateMessage* longest = nullptr;
  for (const v1::TypeRateMessage& type : profile.types()) {
    if (longest == nullptr || type.batches_size() > longest->batches_size()) longest = &type;
  }
  if (longest == nullptr) return "";
  for (const v1::BatchRateMessage& batch : longest->batches()) {
    text += fmt::format("{:>7}", batch.tokens());
  }
  for (const v1::TypeRateMessage& type : profile.types()) {
    text += fmt::format("\n  {:<26}", InfoOf(static_cast<TensorType>(type.type())).name);
    for (const v1::BatchRateMessage& batch : type.batches()) {
      text += fmt::format("{:>7.2f}", batch.bytes_per_s() / kGiga);
    }
  }
  return text + "\n";
}

std::string CoresText(const v1::ProfileMessage& profile) {
  std::string text;
  for (const v1::CoreClassMessage& cores : profile.cores()) {
    if (!text.empty()) text += " + ";
    text += std::to_string(cores.cores());
    if (cores.capacity() > 0) text += fmt::format(" of capacity {}", cores.capacity());
  }
  return text;
}

std::string ProfileTable(const v1::ProfileMessage& profile) {
  std::string text = fmt::format(
      "{}\n  cores {}, {} threads, {}, {:.1f} GiB of memory to use\n", profile.hardware(),
      CoresText(profile), profile.threads(), profile.isa(),
      static_cast<double>(profile.memory_bytes()) / static_cast<double>(int64_t{1} << 30));
  text +=
      fmt::format("  memory {:.1f} GB/s, disk {:.2f} GB/s", profile.memory_bytes_per_s() / kGiga,
                  profile.disk_read_bytes_per_s() / kGiga);
  if (profile.temperature_c() >= 0) text += fmt::format(", {:.0f} C", profile.temperature_c());
  if (profile.battery_percent() >= 0) {
    text += fmt::format(", battery {} %{}", profile.battery_percent(),
                        profile.on_battery() ? ", discharging" : "");
  }
  text += "\n" + SpeedTable(profile);
  text += fmt::format("attention, GMAC/s               decode {:.2f}, prefill {:.2f}\n",
                      profile.attention_decode_macs_per_s() / kGiga,
                      profile.attention_prefill_macs_per_s() / kGiga);
  text += fmt::format("norms, activations, sums        {:.2f} G values/s\n",
                      profile.elementwise_values_per_s() / kGiga);
  text += fmt::format("overheads, us                   matrix {:.1f}, layer {:.1f}, step {:.1f}\n",
                      profile.matrix_s() / kMicro, profile.layer_s() / kMicro,
                      profile.step_s() / kMicro);
  return text;
}

Status RunProfile(const ProfileOptions& options) {
  RETURN_IF_ERROR(InitLogging("shoal", "warn"));
  ASSIGN_OR_RETURN(const kernels::KernelTable* kernels, ChooseKernels(false));
  ASSIGN_OR_RETURN(const ProfileOrder order, OrderOf(options));
  const int threads = options.threads != 0 ? options.threads : UsePerformanceCores();
  const ProfilePlace place = PlaceHere(threads, CacheFolder(), options.model);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const int64_t now_s = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  std::optional<v1::ProfileMessage> profile;
  if (!order.refresh) {
    profile = FindProfile(place.cache_folder, ProfileKey(place, kernels->isa, order.dims),
                          order.types, now_s);
  }
  if (!profile) {
    ThreadPool pool(threads);
    ProgressLine line;
    ASSIGN_OR_RETURN(profile,
                     MeasureNode(*kernels, pool, order, place, SteadyClock(), now_s,
                                 [&](int32_t done, int32_t total) {
                                   line.Show(fmt::format("measuring {} of {}", done + 1, total));
                                   return true;
                                 }));
    line.Clear();
  }
  AddPresentState(AvailableMemoryBytes(), *profile);
  std::string text = ProfileTable(*profile);
  if (options.json) {
    text.clear();
    google::protobuf::util::JsonPrintOptions print;
    print.always_print_primitive_fields = true;
    print.add_whitespace = true;
    print.preserve_proto_field_names = true;
    if (!google::protobuf::util::MessageToJsonString(*profile, &text, print).ok()) {
      return InternalError("the profile cannot be written as JSON");
    }
  }
  std::fputs(text.c_str(), stdout);
  return OkStatus();
}

}  // namespace

void AddProfileCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ProfileOptions>();
  CLI::App* command = app.add_subcommand(
      "profile", "Measure this device: speed by tensor type and batch, memory, disk");
  AddModelOption(*command, "MODEL", options->model,
                 "GGUF file whose types and layer to measure (default: common ones)");
  AddThreadsOption(*command, options->threads);
  command->add_flag("--json", options->json, "Print JSON");
  command->add_flag("--refresh", options->refresh,
                    "Measure even if a measurement of the last 30 days is remembered");
  command->callback([options, &exit_code] {
    const Status done = RunProfile(*options);
    if (!done.ok()) exit_code = Fail("profile", done.error());
  });
}

}  // namespace shoal
