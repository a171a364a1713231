// Measures running nodes as a planner would and prints, as JSON, what the cost model predicts for
// the best split over every subset of them, or for given ones: what tests/tools/predict.py holds
// against reality.
//
//   predict_splits MODEL --node NODE ... [--prompt 512] [--output 128] [--sessions 4]
//                  [--plan DEVICE:LAYERS,DEVICE:LAYERS ...]
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "coordinator/model_shape.h"
#include "coordinator/service/measure_cluster.h"
#include "model/step/step.h"
#include "partitioner/plan.h"
#include "tools/mesh_nodes.h"

namespace shoal {
namespace {

using Json = nlohmann::json;

struct Options {
  std::string model;
  std::vector<std::string> nodes;
  std::vector<std::string> plans;
  int32_t prompt = 512;
  int32_t output = 128;
  int32_t sessions = 4;
  bool refresh = false;
};

// Calls visit(sizes) for every way to cut `layers` into `parts` that are not empty.
template <typename Visit>
void ForEachSplit(int32_t layers, size_t parts, std::vector<int32_t>& sizes, const Visit& visit) {
  const auto rest = static_cast<int32_t>(parts - sizes.size());
  if (rest == 1) {
    sizes.push_back(layers);
    visit(sizes);
    sizes.pop_back();
    return;
  }
  for (int32_t size = 1; size <= layers - rest + 1; ++size) {
    sizes.push_back(size);
    ForEachSplit(layers - size, parts, sizes, visit);
    sizes.pop_back();
  }
}

std::vector<Placement> PlacementsOf(const std::vector<int32_t>& devices,
                                    const std::vector<int32_t>& sizes) {
  std::vector<Placement> placements;
  for (int32_t begin = 0; const int32_t size : sizes) {
    placements.push_back({devices[placements.size()], {begin, begin + size}});
    begin += size;
  }
  return placements;
}

std::optional<Plan> BestPlan(const PlanProblem& problem, std::vector<int32_t> devices) {
  std::optional<Plan> best;
  do {
    std::vector<int32_t> sizes;
    ForEachSplit(problem.model.layer_count(), devices.size(), sizes, [&](const auto& split) {
      Result<Plan> plan = EvaluatePlan(problem, PlacementsOf(devices, split), "search");
      if (plan.ok() && (!best || plan->objective < best->objective)) best = *plan;
    });
  } while (std::next_permutation(devices.begin(), devices.end()));
  return best;
}

// Over every subset of the devices.
Result<std::vector<Plan>> BestPlans(const PlanProblem& problem) {
  std::vector<Plan> plans;
  const auto count = static_cast<uint32_t>(problem.cluster.device_count());
  for (uint32_t subset = 1; subset < (1U << count); ++subset) {
    std::vector<int32_t> devices;
    for (uint32_t i = 0; i < count; ++i) {
      if ((subset >> i & 1U) != 0) devices.push_back(static_cast<int32_t>(i));
    }
    std::optional<Plan> best = BestPlan(problem, devices);
    if (best) plans.push_back(*std::move(best));
  }
  return plans;
}

Result<std::vector<Plan>> GivenPlans(const PlanProblem& problem,
                                     const std::vector<std::string>& texts) {
  std::vector<Plan> plans;
  for (const std::string& text : texts) {
    std::vector<Placement> placements;
    int32_t begin = 0;
    std::istringstream parts(text);
    for (std::string part; std::getline(parts, part, ',');) {
      int32_t device = 0, layers = 0;
      if (std::sscanf(part.c_str(), "%d:%d", &device, &layers) != 2) {
        return InvalidArgument("--plan " + text + ": expected DEVICE:LAYERS,...");
      }
      placements.push_back({device, {begin, begin + layers}});
      begin += layers;
    }
    ASSIGN_OR_RETURN(Plan plan, EvaluatePlan(problem, placements, "given"));
    plans.push_back(std::move(plan));
  }
  return plans;
}

// A bench's cases: decoding from one token, alone and with all sessions, and one prompt.
Json Predict(PlanProblem problem, const Options& options, const Plan& plan) {
  Json json = {{"devices", Json::array()}, {"split", Json::array()}, {"stages", Json::array()}};
  for (const PlannedStage& stage : plan.stages) {
    json["devices"].push_back(stage.device);
    json["split"].push_back(stage.layers.size());
    json["stages"].push_back({{"decode_s", stage.decode_s}, {"decode_hop_s", stage.decode_hop_s}});
  }
  const std::vector<Placement> placements = PlacementsOf(plan);
  const auto predict = [&](int32_t sessions, int32_t prompt) {
    problem.workload.sessions = sessions;
    problem.workload.prompt_tokens = prompt;
    return EvaluatePlan(problem, placements, "search").value().prediction;
  };
  json["decode_s"] = predict(1, 1).decode_s;
  json["tokens_per_s"] = predict(options.sessions, 1).tokens_per_s;
  json["first_token_s"] = predict(1, options.prompt).first_token_s;
  return json;
}

Json DevicesJson(const Cluster& cluster) {
  Json devices = Json::array();
  for (const DeviceProfile& device : cluster.devices) {
    Json speeds;
    for (const TypeSpeed& speed : device.speeds) {
      for (const BatchSpeed& batch : speed.batches) {
        speeds[speed.type].push_back({batch.tokens, batch.bytes_per_s});
      }
    }
    devices.push_back({{"name", device.name},
                       {"hardware", device.hardware},
                       {"speeds", speeds},
                       {"attention_decode_macs_per_s", device.attention_decode_macs_per_s},
                       {"attention_prefill_macs_per_s", device.attention_prefill_macs_per_s},
                       {"elementwise_values_per_s", device.elementwise_values_per_s},
                       {"matrix_s", device.matrix_s},
                       {"layer_s", device.layer_s},
                       {"step_s", device.step_s}});
  }
  return devices;
}

Json LinksJson(const Cluster& cluster) {
  Json links = Json::array();
  for (int32_t from = 0; from < cluster.endpoint_count(); ++from) {
    for (int32_t to = 0; to < cluster.endpoint_count(); ++to) {
      const LinkProfile& link = cluster.link(from, to);
      if (from == to || !link.usable) continue;
      links.push_back({{"from", from},
                       {"to", to},
                       {"latency_s", link.latency_s},
                       {"bytes_per_s", link.bytes_per_s}});
    }
  }
  return links;
}

Status Run(const Options& options) {
  ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(options.model));
  MeasureOptions measure;
  measure.refresh = options.refresh;
  ASSIGN_OR_RETURN(measure.target, ReadProfileTarget(file, TensorType::kF16));
  ASSIGN_OR_RETURN(const std::unique_ptr<MeshAuthority> mesh, FindMesh(""));
  for (const std::string& text : options.nodes) {
    ASSIGN_OR_RETURN(MeshNode node, FindNode(text, mesh.get()));
    measure.nodes.push_back(std::move(node));
  }
  PlanProblem problem;
  ASSIGN_OR_RETURN(problem.model, ReadModelShape(file, TensorType::kF16));
  constexpr int32_t kGrant = StepLimits::kKvGrantTokens;  // as the bench asks for
  problem.workload.kv_tokens =
      (options.prompt + options.output + kGrant - 1) / kGrant * kGrant * options.sessions;
  problem.workload.prompt_tokens = 1;
  problem.workload.output_tokens = options.output;
  ASSIGN_OR_RETURN(problem.cluster, MeasureCluster(measure, SteadyClock(), [](const auto& line) {
                     std::fprintf(stderr, "%s\n", line.c_str());
                   }));
  ASSIGN_OR_RETURN(const std::vector<Plan> found,
                   options.plans.empty() ? BestPlans(problem) : GivenPlans(problem, options.plans));
  Json plans = Json::array();
  for (const Plan& plan : found) plans.push_back(Predict(problem, options, plan));
  const Json all = {{"devices", DevicesJson(problem.cluster)},
                    {"links", LinksJson(problem.cluster)},
                    {"plans", plans}};
  std::printf("%s\n", all.dump(1).c_str());
  return OkStatus();
}

}  // namespace
}  // namespace shoal

int main(int argc, char** argv) {
  shoal::Options options;
  CLI::App app("Predicts the speed of every subset of nodes");
  app.add_option("MODEL", options.model)->required();
  app.add_option("--node", options.nodes)->required();
  app.add_option("--plan", options.plans);
  app.add_option("--prompt", options.prompt);
  app.add_option("--output", options.output);
  app.add_option("--sessions", options.sessions);
  app.add_flag("--refresh", options.refresh);
  CLI11_PARSE(app, argc, argv);
  const shoal::Status done = shoal::Run(options);
  if (!done.ok()) std::fprintf(stderr, "predict_splits: %s\n", done.error().message.c_str());
  return done.ok() ? 0 : 1;
}
