#include "partitioner/cost_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace shoal {

namespace {

const TypeSpeed* FindSpeed(const DeviceProfile& device, const std::string& type) {
  const TypeSpeed* any = nullptr;
  for (const TypeSpeed& speed : device.speeds) {
    if (speed.type == type) return &speed;
    if (speed.type == "*") any = &speed;
  }
  return any;
}

// Seconds for one byte of weights that serves `tokens` tokens.
double SecondsPerByte(const TypeSpeed& speed, double tokens) {
  const std::vector<BatchSpeed>& batches = speed.batches;
  const auto above = std::find_if(batches.begin(), batches.end(),
                                  [&](const BatchSpeed& batch) { return batch.tokens >= tokens; });
  if (above == batches.begin()) return 1 / batches.front().bytes_per_s;
  if (above == batches.end()) {
    return tokens / (batches.back().tokens * batches.back().bytes_per_s);
  }
  const BatchSpeed& below = *(above - 1);
  const double share = (tokens - below.tokens) / (above->tokens - below.tokens);
  return (1 - share) / below.bytes_per_s + share / above->bytes_per_s;
}

double AttentionSeconds(const DeviceProfile& device, const LayerShape& layer,
                        const StepShape& step) {
  double rate = device.attention_decode_macs_per_s;
  if (step.kind == StepKind::kPrefill && device.attention_prefill_macs_per_s > 0) {
    rate = device.attention_prefill_macs_per_s;
  }
  if (rate <= 0) return 0;
  double positions = step.positions;
  if (layer.attention_window > 0) positions = std::min<double>(positions, layer.attention_window);
  return step.tokens * positions * static_cast<double>(layer.attention_macs_per_position) / rate;
}

double GroupsSeconds(const DeviceProfile& device, const std::vector<WeightGroup>& groups,
                     double tokens) {
  double seconds = 0;
  for (const WeightGroup& group : groups) seconds += WeightsSeconds(device, group, tokens);
  return seconds;
}

}  // namespace

StepShape DecodeStep(const Workload& workload) {
  return {StepKind::kDecode, 1, workload.prompt_tokens + workload.output_tokens / 2.0};
}

int32_t StepsInFlight(const Workload& workload, int32_t stages) {
  return std::min(stages, workload.sessions);
}

StepShape BatchedDecodeStep(const Workload& workload, int32_t stages) {
  StepShape step = DecodeStep(workload);
  step.tokens = static_cast<double>(workload.sessions) / StepsInFlight(workload, stages);
  return step;
}

int32_t PrefillChunks(const Workload& workload) {
  return (workload.prompt_tokens + workload.prefill_chunk - 1) / workload.prefill_chunk;
}

StepShape PrefillStep(const Workload& workload) {
  return {StepKind::kPrefill, static_cast<double>(workload.prompt_tokens) / PrefillChunks(workload),
          workload.prompt_tokens / 2.0};
}

double WeightsSeconds(const DeviceProfile& device, const WeightGroup& group, double tokens) {
  const TypeSpeed* speed = FindSpeed(device, group.type);
  CHECK(speed != nullptr, "CheckProblem makes sure that every type has a speed");
  const double used = static_cast<double>(group.experts_used) / group.experts;
  const double share = 1 - std::pow(1 - used, tokens);
  return group.matrices * device.matrix_s +
         static_cast<double>(group.bytes) * share * SecondsPerByte(*speed, tokens * used / share);
}

double LayerSeconds(const DeviceProfile& device, const LayerShape& layer, const StepShape& step) {
  double seconds = device.layer_s + GroupsSeconds(device, layer.weights, step.tokens) +
                   AttentionSeconds(device, layer, step);
  if (device.elementwise_values_per_s > 0) {
    seconds += step.tokens * static_cast<double>(layer.elementwise_values) /
               device.elementwise_values_per_s;
  }
  return seconds;
}

StepCosts::StepCosts(const PlanProblem& problem, const StepShape& step)
    : problem_(problem), step_(step), layers_(problem.model.layer_count()) {
  for (const DeviceProfile& device : problem.cluster.devices) {
    double sum = 0;
    layer_sums_.push_back(sum);
    for (size_t layer = 0; layer < problem.model.layers.size(); ++layer) {
      sum += device.given_layer_s.empty() ? LayerSeconds(device, problem.model.layers[layer], step)
                                          : device.given_layer_s[layer] * step.tokens;
      layer_sums_.push_back(sum);
    }
    const double head_tokens = step.kind == StepKind::kDecode ? step.tokens : 1;
    head_s_.push_back(
        device.given_layer_s.empty() ? GroupsSeconds(device, problem.model.head, head_tokens) : 0);
  }
}

double StepCosts::step_s(int32_t device) const {
  return problem_.cluster.devices[static_cast<size_t>(device)].step_s;
}

double StepCosts::stage_s(int32_t device, StageRange range) const {
  const bool head = range.end == layers_ && step_.kind == StepKind::kDecode;
  return step_s(device) + layers_s(device, range) + (head ? head_s(device) : 0);
}

double StepCosts::occupancy_s(int32_t from, int32_t to, int32_t boundary) const {
  const auto before = static_cast<size_t>(boundary) - 1;
  const auto bytes = static_cast<double>(problem_.model.layers[before].activation_bytes);
  return step_.tokens * bytes / problem_.cluster.link(from, to).bytes_per_s;
}

double StepCosts::hop_s(int32_t from, int32_t to, int32_t boundary) const {
  const LinkProfile& link = problem_.cluster.link(from, to);
  if (!link.usable) return std::numeric_limits<double>::infinity();
  return link.latency_s + occupancy_s(from, to, boundary);
}

double StepCosts::control_hop_s(int32_t from, int32_t to) const {
  const LinkProfile& link = problem_.cluster.link(from, to);
  if (!link.usable) return std::numeric_limits<double>::infinity();
  return link.latency_s + kControlBytes / link.bytes_per_s;
}

int64_t StageMemory::needed_bytes() const {
  return static_cast<int64_t>(
      std::ceil(static_cast<double>(weight_bytes + kv_bytes + buffer_bytes) * (1 + kMemoryMargin)));
}

StageMemory MemoryOf(const PlanProblem& problem, StageRange range) {
  const ModelShape& model = problem.model;
  StageMemory memory;
  for (int32_t i = range.begin; i < range.end; ++i) {
    const LayerShape& layer = model.layers[static_cast<size_t>(i)];
    memory.weight_bytes += ResidentBytes(layer.weights) + layer.vector_bytes;
    memory.kv_bytes += layer.kv_bytes_per_token * problem.workload.kv_tokens;
  }
  if (range.begin == 0) memory.weight_bytes += ResidentBytes(model.embedding);
  if (range.end == model.layer_count()) memory.weight_bytes += ResidentBytes(model.head);
  memory.buffer_bytes = model.buffer_bytes_per_token * problem.workload.step_token_budget;
  return memory;
}

}  // namespace shoal
