// shoal plan MODEL|--shape NAME --cluster FILE|--live: which device should hold which layers, and
// what that is predicted to cost. Loads no weights; talks to devices only with --live.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "coordinator/model_shape.h"
#include "model/gguf/gguf_file.h"
#include "partitioner/explain.h"
#include "partitioner/largest_context.h"
#include "partitioner/strategy.h"
#include "tools/cluster_file.h"
#include "tools/commands.h"
#include "tools/exec_strategy.h"
#include "tools/live_cluster.h"
#include "tools/model_library.h"
#include "tools/model_shapes.h"
#include "tools/plan_json.h"
#include "tools/plan_report.h"
#include "tools/state_folder.h"
#include "tools/terminal.h"

namespace shoal {

namespace {

constexpr int32_t kExplainPlans = 60;    // that an explanation makes: a few seconds
constexpr int32_t kMaxContext = 131072;  // where the model does not say

struct PlanOptions {
  std::string model;
  std::string shape;
  std::string cluster;
  bool live = false;
  std::vector<std::string> nodes;  // of the live cluster
  std::string state;               // of their mesh
  std::string objective = "latency";
  std::vector<double> weights;
  std::string context = "4096";
  Workload workload;
  std::string kv_type = "f16";
  std::string first;
  std::string last;
  std::string both_ends;
  std::vector<std::string> exclude;
  std::vector<std::string> require;
  bool keep_order = false;
  std::string strategy;
  int exec_timeout_s = 10;
  bool json = false;
  bool explain = false;
  std::string svg;
};

Result<ClusterFile> LoadCluster(const PlanOptions& options) {
  if (!options.live) return ReadClusterFile(options.cluster);
  RETURN_IF_ERROR(InitLogging("shoal", "warn"));
  LiveOptions live;
  live.nodes = options.nodes;
  live.model = options.model;
  live.state = options.state;
  ClusterFile file;
  ASSIGN_OR_RETURN(file.cluster, MeasureLive(live));
  file.title = std::to_string(options.nodes.size()) + " nodes, measured";
  return file;
}

// The model, whose KV cache is of one type, and how long a context it was trained for.
struct Model {
  ModelShape shape;
  int32_t max_context = kMaxContext;
};
Result<Model> LoadModel(const PlanOptions& options, const ClusterFile& cluster,
                        TensorType kv_type) {
  Model model;
  if (!options.model.empty()) {
    ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(options.model));
    ASSIGN_OR_RETURN(model.shape, ReadModelShape(file, kv_type));
    ASSIGN_OR_RETURN(model.max_context, ReadContextLength(file));
  } else if (!options.shape.empty()) {
    ASSIGN_OR_RETURN(model.shape, NamedShape(options.shape, kv_type));
  } else if (cluster.model) {
    model.shape = *cluster.model;
  } else {
    return InvalidArgument("name a MODEL or --shape, unless the cluster file has one");
  }
  return model;
}

Result<int32_t> DeviceNamed(const Cluster& cluster, const std::string& name) {
  std::string names;
  for (int32_t i = 0; i < cluster.device_count(); ++i) {
    const std::string& known = cluster.devices[static_cast<size_t>(i)].name;
    if (known == name) return i;
    names += (names.empty() ? "" : ", ") + known;
  }
  return InvalidArgument("there is no device " + name + "; there are " + names);
}

Result<Constraints> ReadConstraints(const PlanOptions& options, const Cluster& cluster) {
  Constraints constraints;
  const std::string& first = options.both_ends.empty() ? options.first : options.both_ends;
  const std::string& last = options.both_ends.empty() ? options.last : options.both_ends;
  if (!first.empty()) {
    ASSIGN_OR_RETURN(constraints.first, DeviceNamed(cluster, first));
  }
  if (!last.empty()) {
    ASSIGN_OR_RETURN(constraints.last, DeviceNamed(cluster, last));
  }
  for (const std::string& name : options.exclude) {
    ASSIGN_OR_RETURN(const int32_t device, DeviceNamed(cluster, name));
    constraints.excluded.push_back(device);
  }
  for (const std::string& name : options.require) {
    ASSIGN_OR_RETURN(const int32_t device, DeviceNamed(cluster, name));
    constraints.required.push_back(device);
  }
  constraints.keep_order = options.keep_order;
  return constraints;
}

Objective ReadObjective(const PlanOptions& options) {
  if (!options.weights.empty()) {
    return {options.weights[0], options.weights[1], options.weights[2]};
  }
  if (options.objective == "throughput") return Objective::Throughput();
  if (options.objective == "first-token") return Objective::FirstToken();
  return Objective::Latency();
}

Result<std::vector<std::unique_ptr<Strategy>>> ReadStrategies(const PlanOptions& options) {
  if (options.strategy == "all") return AllStrategies();
  std::vector<std::unique_ptr<Strategy>> strategies;
  if (options.strategy.starts_with(kExecPrefix)) {
    strategies.push_back(MakeExecStrategy(options.strategy.substr(kExecPrefix.size()),
                                          std::chrono::seconds(options.exec_timeout_s)));
  } else if (options.strategy.empty()) {
    strategies.push_back(std::move(AllStrategies().front()));
  } else {
    ASSIGN_OR_RETURN(std::unique_ptr<Strategy> strategy, MakeStrategy(options.strategy));
    strategies.push_back(std::move(strategy));
  }
  return strategies;
}

// A problem with a plan for it, and the KV type that it was made with.
struct PlanAnswer {
  PlanProblem problem;
  std::string kv_type;
  std::vector<StrategyAnswer> answers;

  bool any() const {
    return std::any_of(answers.begin(), answers.end(),
                       [](const StrategyAnswer& answer) { return answer.plan.ok(); });
  }
};

void Ask(const std::vector<std::unique_ptr<Strategy>>& strategies, int64_t context,
         PlanAnswer& answer) {
  answer.problem.workload.kv_tokens = context * answer.problem.workload.sessions;
  answer.answers.clear();
  for (const std::unique_ptr<Strategy>& strategy : strategies) {
    answer.answers.push_back({std::string(strategy->name()), strategy->Place(answer.problem)});
  }
}

// The largest context that any of the strategies has a plan for.
void AskForLargestContext(const std::vector<std::unique_ptr<Strategy>>& strategies,
                          int32_t max_context, PlanAnswer& answer) {
  const int64_t sessions = answer.problem.workload.sessions;
  int64_t context = 1;
  for (const std::unique_ptr<Strategy>& strategy : strategies) {
    const Result<ContextPlan> largest =
        LargestContext(answer.problem, *strategy, sessions, sessions * max_context);
    if (largest.ok()) context = std::max(context, largest->kv_tokens / sessions);
  }
  Ask(strategies, context, answer);
}

Result<PlanAnswer> AnswerWith(const PlanOptions& options, const ClusterFile& cluster,
                              const std::vector<std::unique_ptr<Strategy>>& strategies,
                              const std::string& kv_type) {
  const TensorType type = kv_type == "q8_0" ? TensorType::kQ8_0 : TensorType::kF16;
  ASSIGN_OR_RETURN(Model model, LoadModel(options, cluster, type));
  PlanAnswer answer;
  answer.kv_type = kv_type;
  answer.problem.model = std::move(model.shape);
  answer.problem.cluster = cluster.cluster;
  answer.problem.workload = options.workload;
  answer.problem.objective = ReadObjective(options);
  ASSIGN_OR_RETURN(answer.problem.constraints, ReadConstraints(options, cluster.cluster));
  RETURN_IF_ERROR(CheckProblem(answer.problem));
  if (options.context == "max") {
    AskForLargestContext(strategies, model.max_context, answer);
  } else {
    Ask(strategies, std::stoll(options.context), answer);
  }
  return answer;
}

// With `auto`, f16 unless only q8_0 has a plan, or one for a longer context.
Result<PlanAnswer> AnswerFor(const PlanOptions& options, const ClusterFile& cluster,
                             const std::vector<std::unique_ptr<Strategy>>& strategies) {
  if (options.kv_type != "auto") return AnswerWith(options, cluster, strategies, options.kv_type);
  ASSIGN_OR_RETURN(PlanAnswer exact, AnswerWith(options, cluster, strategies, "f16"));
  if (exact.any() && options.context != "max") return exact;
  ASSIGN_OR_RETURN(PlanAnswer smaller, AnswerWith(options, cluster, strategies, "q8_0"));
  const bool longer =
      smaller.problem.workload.kv_tokens > exact.problem.workload.kv_tokens || !exact.any();
  return smaller.any() && longer ? smaller : exact;
}

void PrintPlansJson(const PlanAnswer& answer, bool all) {
  nlohmann::json plans = nlohmann::json::array();
  nlohmann::json failed = nlohmann::json::array();
  for (const StrategyAnswer& each : answer.answers) {
    if (each.plan.ok()) {
      plans.push_back(PlanToJson(answer.problem, *each.plan));
      plans.back()["kv_type"] = answer.kv_type;
    } else {
      failed.push_back({{"strategy", each.strategy}, {"error", each.plan.error().message}});
    }
  }
  const nlohmann::json out = all ? nlohmann::json{{"plans", plans}, {"failed", failed}} : plans[0];
  std::puts(out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

Status WriteSvg(const std::string& path, const std::string& svg) {
  std::ofstream file(path);
  file << svg;
  file.close();
  return file ? OkStatus() : Status(InvalidArgument(path + ": cannot be written"));
}

Status RunPlan(const PlanOptions& options) {
  ASSIGN_OR_RETURN(const ClusterFile cluster, LoadCluster(options));
  ASSIGN_OR_RETURN(const auto strategies, ReadStrategies(options));
  ASSIGN_OR_RETURN(const PlanAnswer answer, AnswerFor(options, cluster, strategies));
  const bool all = options.strategy == "all";
  if (!answer.any() && !all) return answer.answers.front().plan.error();
  const std::string model = !options.model.empty()   ? options.model
                            : !options.shape.empty() ? options.shape
                                                     : "the cluster file's model";
  const PlanHeading heading{model, cluster.title.empty() ? options.cluster : cluster.title,
                            answer.kv_type};
  if (options.json) {
    PrintPlansJson(answer, all);
  } else if (all) {
    std::fputs(ComparisonText(heading, answer.problem, answer.answers).c_str(), stdout);
  } else {
    const Plan& plan = *answer.answers[0].plan;
    std::fputs(PlanText(heading, answer.problem, plan).c_str(), stdout);
    if (options.explain) {
      const Explanation explanation = Explain(answer.problem, plan, kExplainPlans);
      std::fputs(ExplanationText(answer.problem, plan, explanation).c_str(), stdout);
    }
  }
  if (!answer.any()) return ResourceExhausted("no strategy has a plan");
  if (options.svg.empty()) return OkStatus();
  if (all) return InvalidArgument("--svg draws one plan: name its --strategy");
  return WriteSvg(options.svg, PlanSvg(heading, answer.problem, *answer.answers[0].plan));
}

std::string StrategyHelp() {
  std::string help = "One of these, `all` to compare them, or exec:PROGRAM:";
  for (const std::unique_ptr<Strategy>& strategy : AllStrategies()) {
    help += "\n  " + std::string(strategy->name()) + ": " + std::string(strategy->description());
  }
  return help;
}

std::string ShapeHelp() {
  std::string help = "Shape of a well-known model instead of a file:";
  for (const ShapeName& shape : ShapeNames()) {
    help += "\n  " + std::string(shape.name) + ": " + std::string(shape.model);
  }
  return help;
}

void AddWorkloadOptions(CLI::App& command, PlanOptions& options) {
  const auto tokens = CLI::Range(1, 1 << 20);
  command
      .add_option("-c,--context", options.context,
                  "Tokens that a session may hold; max: the most that fits")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20) | CLI::IsMember({"max"}));
  command.add_option("--sessions", options.workload.sessions, "Sessions at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  command.add_option("--prompt-tokens", options.workload.prompt_tokens, "Of a typical request")
      ->capture_default_str()
      ->check(tokens);
  command.add_option("--output-tokens", options.workload.output_tokens, "Of a typical answer")
      ->capture_default_str()
      ->check(tokens);
  command.add_option("--prefill-chunk", options.workload.prefill_chunk, "Tokens in one step")
      ->capture_default_str()
      ->check(tokens);
  command
      .add_option("--kv-type", options.kv_type, "f16, q8_0, or auto: f16 unless it does not fit")
      ->capture_default_str()
      ->check(CLI::IsMember({"f16", "q8_0", "auto"}));
}

void AddConstraintOptions(CLI::App& command, PlanOptions& options) {
  command.add_option("--pin-first", options.first, "Device that holds the first layers");
  command.add_option("--pin-last", options.last, "Device that holds the last layers");
  command
      .add_option("--private", options.both_ends,
                  "Device that holds both ends, so that text stays on it")
      ->excludes("--pin-first")
      ->excludes("--pin-last");
  command.add_option("--exclude", options.exclude, "Devices that hold nothing")->delimiter(',');
  command.add_option("--require", options.require, "Devices that hold something")->delimiter(',');
  command.add_flag("--keep-order", options.keep_order, "Stages in the order of the cluster file");
}

}  // namespace

void AddPlanCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<PlanOptions>();  // second owner: the callback
  CLI::App* command = app.add_subcommand(
      "plan", "Say which device of a cluster should hold which layers, and what that costs");
  AddModelOption(*command, "MODEL", options->model,
                 "GGUF file, or any part of one in several parts");
  command->add_option("--shape", options->shape, ShapeHelp())->excludes("MODEL");
  CLI::Option* cluster =
      command->add_option("--cluster", options->cluster, "Cluster file (docs/cluster-file.md)");
  CLI::Option* live =
      command->add_flag("--live", options->live, "Measure the nodes that --node names instead");
  CLI::Option* nodes = command->add_option("--node", options->nodes, kLiveNodesHelp);
  live->excludes(cluster)->needs(nodes);
  command->add_option("--state", options->state, kStateHelp);
  nodes->needs(live);
  command->add_option("--objective", options->objective, "latency, throughput or first-token")
      ->capture_default_str()
      ->check(CLI::IsMember({"latency", "throughput", "first-token"}));
  command
      ->add_option("--weights", options->weights,
                   "A,B,C instead: A * token time + B / throughput + C * first token, in seconds")
      ->delimiter(',')
      ->expected(3)
      ->excludes("--objective");
  AddWorkloadOptions(*command, *options);
  AddConstraintOptions(*command, *options);
  command->add_option("--strategy", options->strategy, StrategyHelp());
  command->add_option("--exec-timeout", options->exec_timeout_s, "Seconds that exec:PROGRAM has")
      ->capture_default_str()
      ->check(CLI::Range(1, 3600));
  command->add_flag("--explain", options->explain,
                    "Also say what holds the plan back, what devices left out would cost, and what "
                    "would help most");
  command->add_flag("--json", options->json, "One JSON object (docs/own-strategy.md)");
  command->add_option("--svg", options->svg, "Also draw the plan into this file");
  command->callback([options, &exit_code] {
    if (options->cluster.empty() && !options->live) {
      exit_code = Fail("plan", InvalidArgument("name a --cluster file, or --live and its nodes"));
      return;
    }
    const Status done = RunPlan(*options);
    if (!done.ok()) exit_code = Fail("plan", done.error());
  });
}

}  // namespace shoal
