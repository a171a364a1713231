#include "partitioner/problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace shoal {

namespace {

// Limits that keep every sum of bytes within an int64 and every cost finite.
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxBytes = int64_t{1} << 48;    // of one group of weights
constexpr int64_t kMaxKvBytes = int64_t{1} << 24;  // of one token in one layer
constexpr int64_t kMaxTokens = int64_t{1} << 24;

Status CheckRange(const std::string& what, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return OkStatus();
  return InvalidArgument(fmt::format("{} is {}: expected {} to {}", what, value, least, most));
}

Status CheckGroup(const std::string& where, const WeightGroup& group,
                  const std::vector<DeviceProfile>& devices) {
  RETURN_IF_ERROR(CheckRange(where + ": bytes", group.bytes, 0, kMaxBytes));
  RETURN_IF_ERROR(CheckRange(where + ": macs", group.macs, 0, kMaxBytes));
  RETURN_IF_ERROR(CheckRange(where + ": matrices", group.matrices, 0, 1 << 20));
  RETURN_IF_ERROR(CheckRange(where + ": experts", group.experts, 1, 1 << 20));
  RETURN_IF_ERROR(CheckRange(where + ": experts_used", group.experts_used, 1, group.experts));
  for (const DeviceProfile& device : devices) {
    const bool known = std::any_of(
        device.speeds.begin(), device.speeds.end(),
        [&](const TypeSpeed& speed) { return speed.type == group.type || speed.type == "*"; });
    if (known || !device.given_layer_s.empty()) continue;
    return InvalidArgument(fmt::format("{}: it has no speed for weights of type {} ({})",
                                       device.name, group.type, where));
  }
  return OkStatus();
}

Status CheckGroups(const std::string& where, const std::vector<WeightGroup>& groups,
                   const std::vector<DeviceProfile>& devices) {
  for (const WeightGroup& group : groups) RETURN_IF_ERROR(CheckGroup(where, group, devices));
  return OkStatus();
}

Status CheckModel(const ModelShape& model, const std::vector<DeviceProfile>& devices) {
  RETURN_IF_ERROR(CheckRange("count of layers", model.layer_count(), 1, kMaxLayers));
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const LayerShape& layer = model.layers[i];
    const std::string where = fmt::format("layer {}", i);
    RETURN_IF_ERROR(CheckGroups(where, layer.weights, devices));
    RETURN_IF_ERROR(CheckRange(where + ": vector_bytes", layer.vector_bytes, 0, kMaxBytes));
    RETURN_IF_ERROR(
        CheckRange(where + ": kv_bytes_per_token", layer.kv_bytes_per_token, 0, kMaxKvBytes));
    RETURN_IF_ERROR(CheckRange(where + ": attention_macs_per_position",
                               layer.attention_macs_per_position, 0, kMaxBytes));
    RETURN_IF_ERROR(
        CheckRange(where + ": attention_window", layer.attention_window, 0, kMaxTokens));
    RETURN_IF_ERROR(
        CheckRange(where + ": elementwise_values", layer.elementwise_values, 0, kMaxBytes));
    RETURN_IF_ERROR(CheckRange(where + ": activation_bytes", layer.activation_bytes, 0, kMaxBytes));
  }
  RETURN_IF_ERROR(CheckGroups("embedding", model.embedding, {}));
  RETURN_IF_ERROR(CheckGroups("head", model.head, devices));
  RETURN_IF_ERROR(
      CheckRange("buffer_bytes_per_token", model.buffer_bytes_per_token, 0, int64_t{1} << 32));
  for (const DeviceProfile& device : devices) {
    if (device.given_layer_s.empty() || device.given_layer_s.size() == model.layers.size())
      continue;
    return InvalidArgument(fmt::format("{}: times of {} layers are given, the model has {}",
                                       device.name, device.given_layer_s.size(),
                                       model.layers.size()));
  }
  return OkStatus();
}

Status CheckWorkload(const Workload& workload) {
  RETURN_IF_ERROR(CheckRange("kv_tokens", workload.kv_tokens, 0, kMaxTokens));
  RETURN_IF_ERROR(CheckRange("sessions", workload.sessions, 1, 1 << 20));
  RETURN_IF_ERROR(CheckRange("prompt_tokens", workload.prompt_tokens, 1, kMaxTokens));
  RETURN_IF_ERROR(CheckRange("output_tokens", workload.output_tokens, 0, kMaxTokens));
  RETURN_IF_ERROR(CheckRange("prefill_chunk", workload.prefill_chunk, 1, kMaxTokens));
  return CheckRange("step_token_budget", workload.step_token_budget, 1, 1 << 20);
}

Status CheckObjective(const Objective& objective) {
  double sum = 0;
  for (const double weight :
       {objective.decode_weight, objective.period_weight, objective.first_token_weight}) {
    if (!(weight >= 0) || weight > 1e9) {
      return InvalidArgument(
          fmt::format("a weight of the objective is {}: expected 0 to 1e9", weight));
    }
    sum += weight;
  }
  return sum > 0 ? OkStatus() : InvalidArgument("all weights of the objective are 0");
}

Status CheckConstraints(const Constraints& constraints, int32_t devices) {
  const auto known = [devices](int32_t device) { return device >= 0 && device < devices; };
  const auto excluded = [&](int32_t device) {
    return std::find(constraints.excluded.begin(), constraints.excluded.end(), device) !=
           constraints.excluded.end();
  };
  for (const int32_t device : constraints.excluded) {
    if (!known(device))
      return InvalidArgument(fmt::format("excluded: there is no device {}", device));
  }
  bool any_left = false;
  for (int32_t device = 0; device < devices; ++device) any_left = any_left || !excluded(device);
  if (!any_left) return InvalidArgument("all devices are excluded");
  std::vector<int32_t> wanted = constraints.required;
  if (constraints.first != -1) wanted.push_back(constraints.first);
  if (constraints.last != -1) wanted.push_back(constraints.last);
  for (const int32_t device : wanted) {
    if (!known(device)) return InvalidArgument(fmt::format("there is no device {}", device));
    if (excluded(device)) {
      return InvalidArgument(fmt::format("device {} is required and excluded", device));
    }
  }
  return OkStatus();
}

}  // namespace

bool Contains(const std::vector<int32_t>& devices, int32_t device) {
  return std::find(devices.begin(), devices.end(), device) != devices.end();
}

Status CheckProblem(const PlanProblem& problem) {
  RETURN_IF_ERROR(CheckCluster(problem.cluster));
  RETURN_IF_ERROR(CheckModel(problem.model, problem.cluster.devices));
  RETURN_IF_ERROR(CheckWorkload(problem.workload));
  RETURN_IF_ERROR(CheckObjective(problem.objective));
  return CheckConstraints(problem.constraints, problem.cluster.device_count());
}

}  // namespace shoal
