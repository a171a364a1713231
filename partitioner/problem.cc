#include "partitioner/problem.h"

#include <fmt/format.h>

namespace shoal {

namespace {

Status CheckCover(const PlanProblem& problem, const std::vector<StageRange>& ranges) {
  if (ranges.size() != problem.devices.size()) {
    return InvalidArgument(fmt::format("the split has {} parts, there are {} devices",
                                       ranges.size(), problem.devices.size()));
  }
  int32_t next = 0;
  for (const StageRange& range : ranges) {
    if (range.begin != next || range.end <= range.begin) {
      return InvalidArgument(fmt::format(
          "layers [{}, {}) do not follow on layer {}: parts are contiguous and not empty",
          range.begin, range.end, next));
    }
    next = range.end;
  }
  if (next != problem.model.layers()) {
    return InvalidArgument(
        fmt::format("the split covers {} layers, the model has {}", next, problem.model.layers()));
  }
  return OkStatus();
}

}  // namespace

Result<Plan> PlanForSplit(const PlanProblem& problem, const std::vector<StageRange>& ranges,
                          const std::string& strategy) {
  RETURN_IF_ERROR(CheckCover(problem, ranges));
  const ModelShape& model = problem.model;
  Plan plan{strategy, {}};
  for (size_t i = 0; i < ranges.size(); ++i) {
    const DeviceProfile& device = problem.devices[i];
    PlannedStage stage;
    stage.device = static_cast<int32_t>(i);
    stage.layers = ranges[i];
    int64_t read_bytes = 0;
    for (int32_t layer = ranges[i].begin; layer < ranges[i].end; ++layer) {
      stage.weight_bytes += model.layer_weight_bytes[static_cast<size_t>(layer)];
      read_bytes += model.layer_token_bytes[static_cast<size_t>(layer)];
    }
    if (ranges[i].end == model.layers()) {
      stage.weight_bytes += model.head_bytes;
      read_bytes += model.head_bytes;
    }
    if (ranges[i].begin == 0) stage.weight_bytes += model.embedding_bytes;
    stage.kv_bytes =
        model.kv_bytes_per_layer_token * (ranges[i].end - ranges[i].begin) * problem.kv_tokens;
    if (device.weight_bytes_per_s > 0) {
      stage.decode_s = static_cast<double>(read_bytes) / device.weight_bytes_per_s;
    }
    const double needed =
        static_cast<double>(stage.weight_bytes + stage.kv_bytes) * (1 + kMemoryMargin);
    if (needed > static_cast<double>(device.memory_bytes)) {
      return ResourceExhausted(fmt::format(
          "{}: layers [{}, {}) need {:.0f} MiB with KV for {} tokens and margin, it has {:.0f} MiB",
          device.name, ranges[i].begin, ranges[i].end, needed / (1 << 20), problem.kv_tokens,
          static_cast<double>(device.memory_bytes) / (1 << 20)));
    }
    plan.stages.push_back(stage);
  }
  return plan;
}

}  // namespace shoal
