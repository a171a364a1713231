// `shoal bench`: how fast a model is read and continued here, and how close that is to what the
// machine's memory allows.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/thread_pool.h"
#include "coordinator/model_shape.h"
#include "node/profiler.h"
#include "tools/commands.h"
#include "tools/generate.h"
#include "tools/model_session.h"
#include "tools/signals.h"
#include "tools/terminal.h"

namespace shoal {

namespace {

struct Options {
  SessionOptions session;
  int32_t prompt_tokens = 512;
  int32_t decode_tokens = 128;
  int rounds = 3;
  bool json = false;
};

struct Speeds {
  std::vector<double> prefill;  // tokens per second, one per round
  std::vector<double> decode;
};

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double PerSecond(int64_t count, int64_t ns) {
  return ns > 0
             ? static_cast<double>(count) * static_cast<double>(kNsPerS) / static_cast<double>(ns)
             : 0;
}

// Any tokens do: speed does not depend on which.
std::vector<int32_t> SomeTokens(int32_t count, int32_t vocab_size) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int32_t i = 0; i < count; ++i) {
    tokens[static_cast<size_t>(i)] = static_cast<int32_t>((int64_t{7} * i + 13) % vocab_size);
  }
  return tokens;
}

Result<GenerationStats> Generate(Engine& engine, std::vector<int32_t> prompt, int32_t max_tokens) {
  GenerationRequest request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  ASSIGN_OR_RETURN(const Ending ending,
                   RunToEnd(engine, std::move(request), std::make_shared<TokenCollector>()));
  return ending.stats;
}

Result<Speeds> Measure(ModelSession& session, const Options& options, ProgressLine& progress) {
  ASSIGN_OR_RETURN(const int32_t vocab_size, ReadVocabSize(session.file()));
  Speeds speeds;
  for (int round = 0; round <= options.rounds; ++round) {  // the first warms up and is not counted
    progress.Show(fmt::format("round {} of {}", round, options.rounds));
    if (options.prompt_tokens > 0) {
      ASSIGN_OR_RETURN(
          const GenerationStats stats,
          Generate(session.engine(), SomeTokens(options.prompt_tokens, vocab_size), 1));
      if (round > 0) speeds.prefill.push_back(PerSecond(options.prompt_tokens, stats.prefill_ns));
    }
    if (options.decode_tokens > 0) {
      ASSIGN_OR_RETURN(const GenerationStats stats,
                       Generate(session.engine(), {1 % vocab_size}, options.decode_tokens + 1));
      if (round > 0) speeds.decode.push_back(PerSecond(options.decode_tokens, stats.decode_ns));
    }
  }
  return speeds;
}

int64_t WeightBytesPerToken(const ModelShape& shape) {
  return std::accumulate(shape.layer_token_bytes.begin(), shape.layer_token_bytes.end(),
                         shape.head_bytes);
}

std::string Spread(const std::vector<double>& values) {
  if (values.empty()) return "not measured";
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return fmt::format("{:.1f} tokens/s (median of {}; {:.1f} to {:.1f})", Median(values),
                     values.size(), *least, *most);
}

Status Run(const Options& options) {
  BlockTerminationSignals();
  const SignalListener interrupted([](int number) { std::_Exit(128 + number); });
  RETURN_IF_ERROR(InitLogging("shoal", options.session.log_level));
  ProgressLine progress;
  SessionOptions wanted = options.session;
  const int32_t longest = std::max(options.prompt_tokens + 1, options.decode_tokens + 2);
  if (wanted.context == 0) wanted.context = longest;
  ASSIGN_OR_RETURN(
      const std::unique_ptr<ModelSession> session,
      ModelSession::Open(wanted, [&](const std::string& line) { progress.Show(line); }));
  ASSIGN_OR_RETURN(const Speeds speeds, Measure(*session, options, progress));
  double memory_bytes_per_s = 0;
  {
    ThreadPool pool(session->options().threads);
    memory_bytes_per_s = MeasureMemoryBytesPerS(pool);
  }
  const int64_t bytes_per_token = WeightBytesPerToken(session->shape());
  const double decode = Median(speeds.decode);
  const double share = decode * static_cast<double>(bytes_per_token) / memory_bytes_per_s;
  progress.Clear();
  if (options.json) {
    nlohmann::ordered_json out;
    out["engine"] = "shoal";
    out["model"] = options.session.model;
    out["threads"] = session->options().threads;
    out["local_nodes"] = session->options().local_nodes;
    out["prompt_tokens"] = options.prompt_tokens;
    out["decode_tokens"] = options.decode_tokens;
    out["prefill_tokens_per_s"] = speeds.prefill.empty()
                                      ? nlohmann::ordered_json()
                                      : nlohmann::ordered_json(Median(speeds.prefill));
    out["decode_tokens_per_s"] =
        speeds.decode.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(decode);
    out["prefill_rounds"] = speeds.prefill;
    out["decode_rounds"] = speeds.decode;
    out["weight_bytes_per_token"] = bytes_per_token;
    out["memory_bytes_per_s"] = memory_bytes_per_s;
    out["memory_bandwidth_share"] = share;
    std::printf("%s\n", out.dump().c_str());
    return OkStatus();
  }
  std::fputs(session->DescribeStages().c_str(), stdout);
  fmt::print("prefill of {} tokens: {}\n", options.prompt_tokens, Spread(speeds.prefill));
  fmt::print("decode of {} tokens: {}\n", options.decode_tokens, Spread(speeds.decode));
  fmt::print(
      "weights read per token: {:.1f} MB; memory reads at {:.1f} GB/s here: decode uses {:.0f} % "
      "of it\n",
      static_cast<double>(bytes_per_token) / 1e6, memory_bytes_per_s / 1e9, 100 * share);
  return OkStatus();
}

}  // namespace

void AddBenchCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("bench", "Measure prefill and decode speed");
  AddSessionOptions(*command, options->session);
  command->add_option("-p,--prompt-tokens", options->prompt_tokens, "Tokens to prefill (0: none)")
      ->capture_default_str()
      ->check(CLI::Range(0, StepLimits::kMaxContextTokens));
  command->add_option("-n,--decode-tokens", options->decode_tokens, "Tokens to decode (0: none)")
      ->capture_default_str()
      ->check(CLI::Range(0, StepLimits::kMaxContextTokens));
  command->add_option("-r,--rounds", options->rounds, "Rounds after one that warms up")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([options, &exit_code] {
    const Status done = Run(*options);
    if (!done.ok()) exit_code = Fail("bench", done.error());
  });
}

}  // namespace shoal
