// `shoal simulate`: what a cluster would give under a load, without the cluster. docs/simulator.md
// says what is modelled and what the columns of its results mean.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/model_shape.h"
#include "model/gguf/gguf_file.h"
#include "model/step/step.h"
#include "tools/cluster_file.h"
#include "tools/commands.h"
#include "tools/exec_strategy.h"
#include "tools/model_library.h"
#include "tools/model_shapes.h"
#include "tools/simulator/html_report.h"
#include "tools/simulator/option_parse.h"
#include "tools/simulator/report_rows.h"
#include "tools/simulator/report_text.h"
#include "tools/simulator/sweep.h"
#include "tools/terminal.h"

namespace shoal {

namespace {

constexpr auto kExecTimeout = std::chrono::seconds(10);
constexpr int32_t kTimelineSpans = 3000;  // of each run, in an HTML report

struct SimulateOptions {
  std::string cluster;
  std::string model;
  std::string shape;
  TensorType kv_type = TensorType::kF16;
  std::string strategy;  // empty: the first there is
  std::string objective = "latency";
  std::string arrivals = "poisson:0.1";
  std::string prompt_tokens = "512";
  std::string output_tokens = "128";
  std::string churn;
  std::string jitter;
  std::vector<std::string> stragglers;
  std::vector<std::string> sweeps;
  int64_t kv_tokens = 0;  // 0: what the sessions need
  SimulationOptions simulation;
  int threads = 0;  // 0: all
  std::string csv;
  std::string json;
  std::string html;
};

Objective ObjectiveNamed(const std::string& name) {
  if (name == "latency") return Objective::Latency();
  if (name == "throughput") return Objective::Throughput();
  return Objective::FirstToken();
}

Result<ModelShape> LoadShape(const SimulateOptions& options, const ClusterFile& cluster) {
  if (!options.shape.empty()) return NamedShape(options.shape, options.kv_type);
  if (!options.model.empty()) {
    ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(options.model));
    return ReadModelShape(file, options.kv_type);
  }
  if (cluster.model) return *cluster.model;
  return InvalidArgument("a model is needed: --model FILE or --shape NAME");
}

// The most tokens that one request may hold, and how many it holds on average.
struct RequestTokens {
  double mean_prompt = 0;
  double mean_output = 0;
  double most = 0;
};

RequestTokens TokensOf(const SimulationOptions& options) {
  RequestTokens tokens{options.prompt_tokens.Mean(), options.output_tokens.Mean(), 0};
  const auto most = [&](const TokenDistribution& of) {
    switch (of.kind) {
      case TokenDistribution::Kind::kUniform: return of.second;
      case TokenDistribution::Kind::kLognormal: return 1.0 * options.context_tokens;
      default: return of.first;
    }
  };
  tokens.most = most(options.prompt_tokens) + most(options.output_tokens);
  const std::vector<TraceRequest>& trace = options.arrivals.trace;
  if (trace.empty()) return tokens;
  tokens = {};
  for (const TraceRequest& request : trace) {
    tokens.mean_prompt += request.prompt_tokens / static_cast<double>(trace.size());
    tokens.mean_output += request.output_tokens / static_cast<double>(trace.size());
    tokens.most = std::max<double>(tokens.most, request.prompt_tokens + request.output_tokens);
  }
  return tokens;
}

int64_t RoundUpToGrant(double tokens) {
  return StepLimits::kKvGrantTokens *
         static_cast<int64_t>(std::ceil(tokens / StepLimits::kKvGrantTokens));
}

// What plans are made for: the typical request, and KV memory for all sessions.
void FillWorkload(const SimulateOptions& options, SimulationOptions& simulation) {
  const RequestTokens tokens = TokensOf(simulation);
  Workload& workload = simulation.problem.workload;
  workload.prompt_tokens = static_cast<int32_t>(std::round(tokens.mean_prompt));
  workload.output_tokens = static_cast<int32_t>(std::round(tokens.mean_output));
  const double mean =
      std::min<double>(tokens.mean_prompt + tokens.mean_output, simulation.context_tokens);
  const double most = std::min<double>(tokens.most, simulation.context_tokens);
  workload.kv_tokens = options.kv_tokens != 0 ? options.kv_tokens
                                              : std::max(RoundUpToGrant(most),
                                                         workload.sessions * RoundUpToGrant(mean));
}

Result<SimulationOptions> BuildOptions(const SimulateOptions& options) {
  SimulationOptions simulation = options.simulation;
  ASSIGN_OR_RETURN(ClusterFile file, ReadClusterFile(options.cluster));
  PlanProblem& problem = simulation.problem;
  ASSIGN_OR_RETURN(problem.model, LoadShape(options, file));
  problem.cluster = std::move(file.cluster);
  problem.objective = ObjectiveNamed(options.objective);
  ASSIGN_OR_RETURN(simulation.arrivals, ParseArrivals(options.arrivals));
  ASSIGN_OR_RETURN(simulation.prompt_tokens, ParseTokens("prompt-tokens", options.prompt_tokens));
  ASSIGN_OR_RETURN(simulation.output_tokens, ParseTokens("output-tokens", options.output_tokens));
  if (!options.churn.empty()) {
    ASSIGN_OR_RETURN(simulation.churn, ParseChurn(options.churn, problem.cluster));
  }
  if (!options.jitter.empty()) {
    ASSIGN_OR_RETURN(simulation.jitter, ParseJitter(options.jitter));
  }
  for (const std::string& text : options.stragglers) {
    ASSIGN_OR_RETURN(simulation.stragglers.emplace_back(), ParseStraggler(text, problem.cluster));
  }
  if (!options.html.empty()) simulation.timeline_spans = kTimelineSpans;
  FillWorkload(options, simulation);
  RETURN_IF_ERROR(CheckOptions(simulation));
  return simulation;
}

Result<std::vector<std::unique_ptr<Strategy>>> Strategies(const std::string& names) {
  if (names == "all") return AllStrategies();
  std::vector<std::unique_ptr<Strategy>> strategies;
  if (names.starts_with(kExecPrefix)) {
    strategies.push_back(MakeExecStrategy(names.substr(kExecPrefix.size()), kExecTimeout));
    return strategies;
  }
  if (names.empty()) {
    strategies.push_back(std::move(AllStrategies().front()));
    return strategies;
  }
  for (const std::string_view name : SplitText(names, ',')) {
    ASSIGN_OR_RETURN(strategies.emplace_back(), MakeStrategy(name));
  }
  return strategies;
}

std::vector<std::pair<std::string, std::string>> Parameters(const SimulateOptions& options,
                                                            const SimulationOptions& simulation) {
  const Workload& workload = simulation.problem.workload;
  std::string stragglers;
  for (const std::string& text : options.stragglers) {
    stragglers += (stragglers.empty() ? "" : " ") + text;
  }
  const auto number = [](double value) { return fmt::format("{:g}", value); };
  return {{"cluster", options.cluster},
          {"model", options.shape.empty() ? options.model : options.shape},
          {"objective", options.objective},
          {"arrivals", options.arrivals},
          {"prompt_tokens", options.prompt_tokens},
          {"output_tokens", options.output_tokens},
          {"requests", fmt::to_string(simulation.max_requests)},
          {"duration_s", number(simulation.duration_s)},
          {"warmup_s", number(simulation.warmup_s)},
          {"drain_s", number(simulation.drain_s)},
          {"sessions", fmt::to_string(workload.sessions)},
          {"context", fmt::to_string(simulation.context_tokens)},
          {"kv_tokens", fmt::to_string(workload.kv_tokens)},
          {"queue", fmt::to_string(simulation.max_queued)},
          {"prefill_chunk", fmt::to_string(workload.prefill_chunk)},
          {"step_tokens", fmt::to_string(workload.step_token_budget)},
          {"churn", options.churn},
          {"detection_s", number(simulation.recovery.detection_s)},
          {"replan_s", number(simulation.recovery.replan_s)},
          {"least_gain", number(simulation.recovery.least_gain)},
          {"jitter", options.jitter},
          {"stragglers", stragglers},
          {"base_seed", fmt::to_string(simulation.seed)}};
}

// To the file, or for "-" to stdout.
Status Write(const std::string& path, const std::string& text) {
  if (path == "-") {
    std::fputs(text.c_str(), stdout);
    return OkStatus();
  }
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  return file ? OkStatus() : InvalidArgument(path + ": cannot be written");
}

Result<std::vector<SweepRun>> RunAll(const SimulateOptions& options,
                                     const SimulationOptions& simulation,
                                     const std::vector<SweepAxis>& axes) {
  ASSIGN_OR_RETURN(const auto strategies, Strategies(options.strategy));
  std::vector<const Strategy*> borrowed;
  for (const auto& strategy : strategies) borrowed.push_back(strategy.get());
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  std::atomic<int64_t> done = 0;
  const auto start = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(std::vector<SweepRun> runs,
                   RunSweep(simulation, axes, borrowed,
                            options.threads > 0 ? options.threads : cores, [&done] { ++done; }));
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
  int64_t tokens = 0;
  for (const SweepRun& run : runs) tokens += run.report.ok() ? run.report->all_output_tokens : 0;
  std::fprintf(stderr, "%s\n",
               fmt::format("{} runs with {} output tokens in {:.2f} s: {:.2f} million tokens/s",
                           done.load(), tokens, wall.count(),
                           static_cast<double>(tokens) / std::max(wall.count(), 1e-9) / 1e6)
                   .c_str());
  return runs;
}

Status RunSimulate(const SimulateOptions& options) {
  ASSIGN_OR_RETURN(const SimulationOptions simulation, BuildOptions(options));
  SweepReport report;
  report.parameters = Parameters(options, simulation);
  for (const std::string& text : options.sweeps) {
    ASSIGN_OR_RETURN(report.axes.emplace_back(), ParseSweep(text, simulation.problem.cluster));
  }
  ASSIGN_OR_RETURN(report.runs, RunAll(options, simulation, report.axes));
  if (options.csv != "-" && options.json != "-") std::fputs(SweepText(report).c_str(), stdout);
  if (!options.csv.empty()) RETURN_IF_ERROR(Write(options.csv, SweepCsv(report)));
  if (!options.json.empty()) RETURN_IF_ERROR(Write(options.json, SweepJson(report)));
  if (!options.html.empty()) RETURN_IF_ERROR(Write(options.html, SweepHtml(report)));
  const bool none = std::none_of(report.runs.begin(), report.runs.end(),
                                 [](const SweepRun& run) { return run.report.ok(); });
  return none ? Status(report.runs.front().report.error()) : OkStatus();
}

void AddLoadOptions(CLI::App& command, SimulateOptions& options) {
  SimulationOptions& simulation = options.simulation;
  Workload& workload = simulation.problem.workload;
  workload.sessions = 4;
  const auto add = [&command](const char* name, auto& value, const char* help) {
    command.add_option(name, value, help)->capture_default_str()->group("Load");
  };
  add("--arrivals", options.arrivals,
      "poisson:PER_SECOND, closed:CLIENTS (each sends its next request when answered), or a CSV "
      "file with the columns arrival_s,prompt_tokens,output_tokens");
  add("--prompt-tokens", options.prompt_tokens, "N, uniform:LEAST..MOST or lognormal:MEDIAN,SIGMA");
  add("--output-tokens", options.output_tokens, "Likewise");
  add("--requests", simulation.max_requests, "At most so many arrive");
  add("--duration", simulation.duration_s, "Seconds in which requests arrive");
  add("--warmup", simulation.warmup_s, "Seconds at the beginning that are not measured");
  add("--drain", simulation.drain_s, "Seconds after the duration until open requests are given up");
  add("--sessions", workload.sessions, "Requests that run at once; others wait");
  add("--queue", simulation.max_queued, "Requests that wait; others are rejected");
  add("--context", simulation.context_tokens, "Tokens that one session may hold");
  add("--kv-tokens", options.kv_tokens,
      "Tokens that all sessions together may hold (0: what typical ones need)");
  add("--prefill-chunk", workload.prefill_chunk, "Tokens of one prompt in one step");
  add("--step-tokens", workload.step_token_budget, "Tokens of all sessions in one step");
}

void AddDisturbanceOptions(CLI::App& command, SimulateOptions& options) {
  Recovery& recovery = options.simulation.recovery;
  const auto add = [&command](const char* name, auto& value, const char* help) {
    return command.add_option(name, value, help)->group("Disturbances");
  };
  add("--churn", options.churn,
      "exponential:MTBF_S,MTTR_S for every device, or a CSV file with the columns "
      "time_s,device,event (down or up)");
  add("--detection", recovery.detection_s, "Seconds until a lost device is noticed")
      ->capture_default_str();
  add("--replan", recovery.replan_s, "Seconds to plan and link anew, without loading")
      ->capture_default_str();
  add("--least-gain", recovery.least_gain,
      "Share of the objective for which a plan changes when a device is back")
      ->capture_default_str();
  add("--jitter", options.jitter,
      "compute:SIGMA and latency:SIGMA (or latency:measured), with a comma between");
  add("--straggler", options.stragglers, "DEVICE:FACTOR[@FROM_S..TO_S]; may be given again");
}

}  // namespace

void AddSimulateCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<SimulateOptions>();
  CLI::App* command = app.add_subcommand(
      "simulate", "What a cluster would give under a load, with the real scheduler");
  command->add_option("--cluster", options->cluster, "Cluster file (TOML)")->required();
  auto* model = AddModelOption(*command, "--model", options->model, "GGUF file");
  command->add_option("--shape", options->shape, "A well-known model without its file: 8b-q4_k")
      ->excludes(model);
  command->add_option("--kv-type", options->kv_type, "f16 (default) or q8_0")
      ->transform(CLI::CheckedTransformer(std::map<std::string, TensorType>{
          {"f16", TensorType::kF16}, {"q8_0", TensorType::kQ8_0}}));
  command->add_option(
      "--strategy", options->strategy,
      "Names with commas between, all, or exec:PROGRAM (default: the planner's own)");
  command->add_option("--objective", options->objective, "That plans are made for")
      ->capture_default_str()
      ->check(CLI::IsMember({"latency", "throughput", "first-token"}));
  AddLoadOptions(*command, *options);
  AddDisturbanceOptions(*command, *options);
  command->add_option("--seed", options->simulation.seed, "The same seed gives the same results")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  std::string parameters;
  for (const std::string& line : SweepParameters()) parameters += "; " + line;
  command->add_option("--sweep", options->sweeps,
                      "PARAMETER=A..B:lin:COUNT, A..B:log:COUNT, A..B or A,B,C; several make a "
                      "grid. Parameters: " +
                          parameters.substr(2));
  command->add_option("-t,--threads", options->threads, "Runs at once (0: one for each core)")
      ->check(CLI::Range(0, 1024));
  command->add_option("--csv", options->csv, "One row per run, to this file (-: stdout alone)");
  command->add_option("--json", options->json, "The same as JSON, with devices and links");
  command->add_option("--html", options->html, "A page with plots, complete in itself");
  command->callback([options, &exit_code] {
    const Status done = RunSimulate(*options);
    if (!done.ok()) exit_code = Fail("simulate", done.error());
  });
}

}  // namespace shoal
