#include "tools/bench_measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include "base/thread_pool.h"
#include "coordinator/model_shape.h"
#include "node/profiler.h"
#include "tools/generate.h"
#include "tools/kernel_choice.h"
#include "tools/units.h"

namespace shoal {

namespace {

using Progress = std::function<void(const std::string&)>;

// Any tokens do: speed does not depend on which.
std::vector<int32_t> SomeTokens(int32_t count, int32_t vocab_size) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int32_t i = 0; i < count; ++i) {
    tokens[static_cast<size_t>(i)] = static_cast<int32_t>((int64_t{7} * i + 13) % vocab_size);
  }
  return tokens;
}

// The slowest of `sessions` equal requests that run at once.
Result<GenerationStats> Generate(Engine& engine, const std::vector<int32_t>& prompt,
                                 int32_t max_tokens, int32_t sessions) {
  std::vector<std::shared_ptr<TokenCollector>> collectors;
  for (int32_t i = 0; i < sessions; ++i) {
    collectors.push_back(std::make_shared<TokenCollector>());
    GenerationRequest request;
    request.prompt = prompt;
    request.max_tokens = max_tokens;
    request.sink = collectors.back();
    ASSIGN_OR_RETURN(const SessionId id, engine.Start(std::move(request)));
    static_cast<void>(id);
  }
  GenerationStats slowest;
  for (const auto& collector : collectors) {
    const Ending ending = collector->Wait();
    if (ending.error) return *ending.error;
    slowest.prefill_ns = std::max(slowest.prefill_ns, ending.stats.prefill_ns);
    slowest.decode_ns = std::max(slowest.decode_ns, ending.stats.decode_ns);
  }
  return slowest;
}

Result<double> MeasureCase(ModelSession& session, const BenchCase& what, int32_t vocab_size) {
  if (what.kind == BenchCase::Kind::kPrefill) {
    ASSIGN_OR_RETURN(const GenerationStats stats,
                     Generate(session.engine(), SomeTokens(what.tokens, vocab_size), 1, 1));
    return PerSecond(what.tokens, stats.prefill_ns);
  }
  ASSIGN_OR_RETURN(const GenerationStats stats,
                   Generate(session.engine(), {1 % vocab_size}, what.tokens + 1, what.sessions));
  return PerSecond(int64_t{what.tokens} * what.sessions, stats.decode_ns);
}

std::vector<BenchResult> CasesOf(const BenchPlan& plan, int threads) {
  std::vector<BenchResult> cases;
  for (const int32_t tokens : plan.prompt_tokens) {
    if (tokens > 0) cases.push_back({{BenchCase::Kind::kPrefill, tokens, 1, threads}, {}});
  }
  for (const int32_t tokens : plan.decode_tokens) {
    for (const int32_t sessions : plan.sessions) {
      if (tokens > 0) cases.push_back({{BenchCase::Kind::kDecode, tokens, sessions, threads}, {}});
    }
  }
  return cases;
}

// Room for the longest case of each session.
SessionOptions OptionsOf(const BenchPlan& plan, int threads) {
  SessionOptions options = plan.session;
  options.threads = threads;
  options.sessions = *std::max_element(plan.sessions.begin(), plan.sessions.end());
  const auto longest = [](const std::vector<int32_t>& tokens) {
    return tokens.empty() ? 0 : *std::max_element(tokens.begin(), tokens.end());
  };
  if (options.context == 0) {
    options.context = std::max(longest(plan.prompt_tokens) + 1, longest(plan.decode_tokens) + 2);
  }
  return options;
}

Result<std::vector<BenchResult>> MeasureThreads(ModelSession& session, const BenchPlan& plan,
                                                int threads, const Progress& progress) {
  ASSIGN_OR_RETURN(const int32_t vocab_size, ReadVocabSize(session.file()));
  std::vector<BenchResult> results = CasesOf(plan, threads);
  for (int round = 0; round <= plan.rounds; ++round) {  // the first warms up and is not counted
    for (size_t i = 0; i < results.size(); ++i) {
      progress(fmt::format("{} threads: round {} of {}, case {} of {}", threads, round, plan.rounds,
                           i + 1, results.size()));
      ASSIGN_OR_RETURN(const double speed, MeasureCase(session, results[i].what, vocab_size));
      if (round > 0) results[i].tokens_per_s.push_back(speed);
    }
  }
  return results;
}

}  // namespace

Result<BenchReport> MeasureBench(const BenchPlan& plan, const Progress& progress) {
  BenchReport report;
  report.model = plan.session.model;
  report.local_nodes = plan.session.local_nodes;
  ASSIGN_OR_RETURN(const kernels::KernelTable* kernels, ChooseKernels(false));
  report.isa = kernels::IsaName(kernels->isa);
  for (const int threads : plan.threads) {
    ASSIGN_OR_RETURN(const std::unique_ptr<ModelSession> session,
                     ModelSession::Open(OptionsOf(plan, threads)));
    RETURN_IF_ERROR(session->Start(progress));
    report.weight_bytes_per_token = BytesPerToken(session->shape());
    report.macs_per_token = MacsPerToken(session->shape());
    ASSIGN_OR_RETURN(std::vector<BenchResult> results,
                     MeasureThreads(*session, plan, session->options().threads, progress));
    std::move(results.begin(), results.end(), std::back_inserter(report.results));
    progress("measuring the machine");
    ThreadPool pool(session->options().threads);
    report.bounds[session->options().threads] = {MeasureMemoryBytesPerS(pool),
                                                 MeasureInt8MacsPerS(kernels->isa, pool)};
  }
  return report;
}

}  // namespace shoal
