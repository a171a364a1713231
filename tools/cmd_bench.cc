// `shoal bench`: how fast a model is read and continued here, and how close that is to what the
// machine's memory and arithmetic allow.
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "tools/bench_measure.h"
#include "tools/bench_report.h"
#include "tools/commands.h"
#include "tools/signals.h"
#include "tools/terminal.h"
#include "tools/threads_option.h"

namespace shoal {

namespace {

enum class Format { kText, kMarkdown, kCsv, kJson };

struct BenchOptions {
  BenchPlan plan;
  Format format = Format::kText;
  std::string plot;
};

std::string Formatted(const BenchReport& report, Format format) {
  switch (format) {
    case Format::kMarkdown: return BenchMarkdown(report);
    case Format::kCsv: return BenchCsv(report);
    case Format::kJson: return BenchJson(report);
    default: return BenchText(report);
  }
}

Status WritePlot(const BenchReport& report, const std::string& path) {
  std::ofstream file(path);
  file << BenchSvg(report);
  file.close();
  if (!file) return InvalidArgument(path + ": cannot be written");
  return OkStatus();
}

Status RunBench(const BenchOptions& options) {
  BlockTerminationSignals();
  const SignalListener interrupted([](int number) { std::_Exit(128 + number); });
  RETURN_IF_ERROR(InitLogging("shoal", options.plan.session.log_level));
  ProgressLine progress;
  ASSIGN_OR_RETURN(
      const BenchReport report,
      MeasureBench(options.plan, [&](const std::string& line) { progress.Show(line); }));
  progress.Clear();
  std::fputs(Formatted(report, options.format).c_str(), stdout);
  return options.plot.empty() ? OkStatus() : WritePlot(report, options.plot);
}

}  // namespace

void AddBenchCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<BenchOptions>();
  BenchPlan& plan = options->plan;
  plan.threads = {0};
  plan.prompt_tokens = {512};
  plan.decode_tokens = {128};
  plan.sessions = {1};
  CLI::App* command = app.add_subcommand(
      "bench", "Measure prefill and decode speed; every list, as 1,2,4, is a sweep");
  plan.session.plan = "spread";  // over the nodes that are named
  AddSessionOptions(*command, plan.session);
  AddThreadsOption(*command, plan.threads)->delimiter(',');
  const auto tokens = CLI::Range(0, StepLimits::kMaxContextTokens);
  command->add_option("-p,--prompt-tokens", plan.prompt_tokens, "Tokens to prefill (0: none)")
      ->capture_default_str()
      ->delimiter(',')
      ->check(tokens);
  command->add_option("-n,--decode-tokens", plan.decode_tokens, "Tokens to decode (0: none)")
      ->capture_default_str()
      ->delimiter(',')
      ->check(tokens);
  command->add_option("-b,--sessions", plan.sessions, "Sessions that decode at once")
      ->capture_default_str()
      ->delimiter(',')
      ->check(CLI::Range(1, 32));
  command->add_option("-r,--rounds", plan.rounds, "Rounds after one that warms up")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_option("--format", options->format, "text, markdown, csv or json")
      ->transform(
          CLI::CheckedTransformer(std::map<std::string, Format>{{"text", Format::kText},
                                                                {"markdown", Format::kMarkdown},
                                                                {"csv", Format::kCsv},
                                                                {"json", Format::kJson}}));
  command->add_flag_callback(
      "--json", [options] { options->format = Format::kJson; }, "The same as --format json");
  command->add_option("--plot", options->plot, "Also draw the results into this SVG file");
  command->callback([options, &exit_code] {
    const Status done = RunBench(*options);
    if (!done.ok()) exit_code = Fail("bench", done.error());
  });
}

}  // namespace shoal
