#include "tools/plan_json.h"

#include <fmt/format.h>

#include <algorithm>

#include "partitioner/cost_model.h"

namespace shoal {

namespace {

using nlohmann::json;

constexpr size_t kMaxPlacements = 8192;

json ToJson(const std::vector<WeightGroup>& groups) {
  json list = json::array();
  for (const WeightGroup& group : groups) {
    list.push_back({{"type", group.type},
                    {"bytes", group.bytes},
                    {"macs", group.macs},
                    {"matrices", group.matrices},
                    {"experts", group.experts},
                    {"experts_used", group.experts_used}});
  }
  return list;
}

json ToJson(const ModelShape& model) {
  json layers = json::array();
  for (const LayerShape& layer : model.layers) {
    layers.push_back({{"weights", ToJson(layer.weights)},
                      {"vector_bytes", layer.vector_bytes},
                      {"kv_bytes_per_token", layer.kv_bytes_per_token},
                      {"attention_macs_per_position", layer.attention_macs_per_position},
                      {"attention_window", layer.attention_window},
                      {"elementwise_values", layer.elementwise_values},
                      {"activation_bytes", layer.activation_bytes}});
  }
  return {{"layers", std::move(layers)},
          {"embedding", ToJson(model.embedding)},
          {"head", ToJson(model.head)},
          {"buffer_bytes_per_token", model.buffer_bytes_per_token}};
}

json ToJson(const DeviceProfile& device) {
  json speeds = json::array();
  for (const TypeSpeed& speed : device.speeds) {
    json batches = json::array();
    for (const BatchSpeed& batch : speed.batches) {
      batches.push_back({{"tokens", batch.tokens}, {"bytes_per_s", batch.bytes_per_s}});
    }
    speeds.push_back({{"type", speed.type}, {"batches", std::move(batches)}});
  }
  return {{"name", device.name},
          {"hardware", device.hardware},
          {"memory_bytes", device.memory_bytes},
          {"speeds", std::move(speeds)},
          {"attention_decode_macs_per_s", device.attention_decode_macs_per_s},
          {"attention_prefill_macs_per_s", device.attention_prefill_macs_per_s},
          {"elementwise_values_per_s", device.elementwise_values_per_s},
          {"matrix_s", device.matrix_s},
          {"layer_s", device.layer_s},
          {"step_s", device.step_s},
          {"busy_watts", device.busy_watts},
          {"idle_watts", device.idle_watts},
          {"given_layer_s", device.given_layer_s}};
}

json LinksToJson(const Cluster& cluster) {
  json rows = json::array();
  for (int32_t from = 0; from < cluster.endpoint_count(); ++from) {
    json row = json::array();
    for (int32_t to = 0; to < cluster.endpoint_count(); ++to) {
      const LinkProfile& link = cluster.link(from, to);
      row.push_back({{"usable", link.usable},
                     {"latency_s", link.latency_s},
                     {"latency_p95_s", link.latency_p95_s},
                     {"bytes_per_s", link.bytes_per_s}});
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

json ToJson(const Workload& workload) {
  return {
      {"kv_tokens", workload.kv_tokens},         {"sessions", workload.sessions},
      {"prompt_tokens", workload.prompt_tokens}, {"output_tokens", workload.output_tokens},
      {"prefill_chunk", workload.prefill_chunk}, {"step_token_budget", workload.step_token_budget}};
}

// Seconds of one kind of step, by device and layer, so that a program need not repeat our formulas.
json CostsToJson(const PlanProblem& problem, const StepShape& step) {
  const StepCosts costs(problem, step);
  json layer_s = json::array();
  json head_s = json::array();
  json step_s = json::array();
  for (int32_t device = 0; device < problem.cluster.device_count(); ++device) {
    json row = json::array();
    for (int32_t layer = 0; layer < problem.model.layer_count(); ++layer) {
      row.push_back(costs.layers_s(device, {layer, layer + 1}));
    }
    layer_s.push_back(std::move(row));
    head_s.push_back(costs.head_s(device));
    step_s.push_back(costs.step_s(device));
  }
  return {{"tokens", step.tokens},
          {"layer_s", std::move(layer_s)},
          {"head_s", std::move(head_s)},
          {"step_s", std::move(step_s)}};
}

json MemoryToJson(const PlanProblem& problem) {
  json layers = json::array();
  for (const LayerShape& layer : problem.model.layers) {
    layers.push_back(ResidentBytes(layer.weights) + layer.vector_bytes +
                     layer.kv_bytes_per_token * problem.workload.kv_tokens);
  }
  return {{"layer_bytes", std::move(layers)},
          {"embedding_bytes", ResidentBytes(problem.model.embedding)},
          {"head_bytes", ResidentBytes(problem.model.head)},
          {"buffer_bytes", MemoryOf(problem, {0, 0}).buffer_bytes},
          {"margin", kMemoryMargin}};
}

json ToJson(const Constraints& constraints) {
  return {{"first", constraints.first},
          {"last", constraints.last},
          {"required", constraints.required},
          {"excluded", constraints.excluded},
          {"keep_order", constraints.keep_order}};
}

Result<int32_t> DeviceFromJson(const json& value, const PlanProblem& problem,
                               const std::string& where) {
  if (value.is_number_integer()) {
    const auto index = value.get<int64_t>();
    if (index >= 0 && index < problem.cluster.device_count()) return static_cast<int32_t>(index);
    return InvalidArgument(fmt::format("{}.device: there is no device {} of {}", where, index,
                                       problem.cluster.device_count()));
  }
  if (!value.is_string()) return InvalidArgument(where + ".device: expected a name or an index");
  const auto& name = value.get_ref<const std::string&>();
  for (int32_t i = 0; i < problem.cluster.device_count(); ++i) {
    if (problem.cluster.devices[static_cast<size_t>(i)].name == name) return i;
  }
  constexpr size_t kShown = 100;
  return InvalidArgument(
      fmt::format("{}.device: there is no device '{}'", where, name.substr(0, kShown)));
}

Result<int32_t> LayerFromJson(const json& value, const PlanProblem& problem,
                              const std::string& where) {
  if (value.is_number_integer()) {
    const auto layer = value.get<int64_t>();
    if (layer >= 0 && layer <= problem.model.layer_count()) return static_cast<int32_t>(layer);
  }
  return InvalidArgument(fmt::format("{}.layers: expected two whole numbers from 0 to {}", where,
                                     problem.model.layer_count()));
}

}  // namespace

json ProblemToJson(const PlanProblem& problem) {
  const Objective& objective = problem.objective;
  return {{"version", kPlanJsonVersion},
          {"model", ToJson(problem.model)},
          {"devices",
           [&] {
             json devices = json::array();
             for (const DeviceProfile& device : problem.cluster.devices) {
               devices.push_back(ToJson(device));
             }
             return devices;
           }()},
          {"links", LinksToJson(problem.cluster)},
          {"workload", ToJson(problem.workload)},
          {"objective",
           {{"decode_weight", objective.decode_weight},
            {"period_weight", objective.period_weight},
            {"first_token_weight", objective.first_token_weight}}},
          {"constraints", ToJson(problem.constraints)},
          {"costs",
           {{"decode", CostsToJson(problem, DecodeStep(problem.workload))},
            {"prefill_chunk", CostsToJson(problem, PrefillStep(problem.workload))},
            {"control_bytes", kControlBytes}}},
          {"memory", MemoryToJson(problem)}};
}

json PlanToJson(const PlanProblem& problem, const Plan& plan) {
  json stages = json::array();
  for (const PlannedStage& stage : plan.stages) {
    const DeviceProfile& device = problem.cluster.devices[static_cast<size_t>(stage.device)];
    stages.push_back({{"device", device.name},
                      {"layers", {stage.layers.begin, stage.layers.end}},
                      {"weight_bytes", stage.weight_bytes},
                      {"kv_bytes", stage.kv_bytes},
                      {"buffer_bytes", stage.buffer_bytes},
                      {"needed_bytes", stage.needed_bytes},
                      {"memory_bytes", device.memory_bytes},
                      {"decode_s", stage.decode_s},
                      {"decode_hop_s", stage.decode_hop_s},
                      {"prefill_s", stage.prefill_s},
                      {"prefill_hop_s", stage.prefill_hop_s},
                      {"utilization", stage.utilization}});
  }
  return {{"version", kPlanJsonVersion},
          {"strategy", plan.strategy},
          {"stages", std::move(stages)},
          {"prediction",
           {{"decode_s", plan.prediction.decode_s},
            {"first_token_s", plan.prediction.first_token_s},
            {"tokens_per_s", plan.prediction.tokens_per_s},
            {"joules_per_token", plan.prediction.joules_per_token}}},
          {"objective_s", plan.objective},
          {"lower_bound_s", plan.lower_bound},
          {"workload", ToJson(problem.workload)}};
}

Result<std::vector<Placement>> PlacementsFromJson(std::string_view text,
                                                  const PlanProblem& problem) {
  const json root = json::parse(text, nullptr, false);
  if (root.is_discarded()) return InvalidArgument("it is not JSON");
  if (!root.is_object() || !root.contains("placements") || !root["placements"].is_array()) {
    return InvalidArgument("expected an object with an array `placements`");
  }
  const json& list = root["placements"];
  if (list.size() > kMaxPlacements) {
    return InvalidArgument(
        fmt::format("{} placements are more than {}", list.size(), kMaxPlacements));
  }
  std::vector<Placement> placements;
  for (const json& entry : list) {
    const std::string where = fmt::format("placements[{}]", placements.size());
    if (!entry.is_object() || !entry.contains("device") || !entry.contains("layers")) {
      return InvalidArgument(where + ": expected an object with `device` and `layers`");
    }
    const json& layers = entry["layers"];
    if (!layers.is_array() || layers.size() != 2) {
      return InvalidArgument(where + ".layers: expected two whole numbers");
    }
    Placement placement;
    ASSIGN_OR_RETURN(placement.device, DeviceFromJson(entry["device"], problem, where));
    ASSIGN_OR_RETURN(placement.layers.begin, LayerFromJson(layers[0], problem, where));
    ASSIGN_OR_RETURN(placement.layers.end, LayerFromJson(layers[1], problem, where));
    placements.push_back(placement);
  }
  return placements;
}

}  // namespace shoal
