// `shoal logits`: the logits of given tokens, for tests and tools. Prints one JSON object:
//   {"tokens": [...], "positions": [{"top": [[id, logit], ...], "logsumexp": x, "sha256": hex of
//   the little-endian f32 logits, "logits": [... only without --top]}], "greedy": [...]}
// Floats are printed so that they read back as the same float.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/sha256.h"
#include "model/text/tokenizer.h"
#include "model/transformer/sampler.h"
#include "tools/commands.h"
#include "tools/generate.h"
#include "tools/model_session.h"
#include "tools/signals.h"
#include "tools/terminal.h"
#include "tools/threads_option.h"

namespace shoal {

namespace {

constexpr int32_t kTopWithoutOption = 10;

struct LogitsOptions {
  SessionOptions session;
  std::vector<int32_t> tokens;
  int32_t top = -1;  // -1: all logits, and the first kTopWithoutOption as "top"
  int32_t greedy = 0;
};

// Numbers that JSON has no words for become null.
void AppendFloat(std::string& out, float value) {
  if (std::isfinite(value)) {
    fmt::format_to(std::back_inserter(out), "{}", value);
  } else {
    out += "null";
  }
}

std::string FormatPosition(const std::vector<float>& logits, int32_t top) {
  const size_t count =
      std::min(logits.size(), static_cast<size_t>(top < 0 ? kTopWithoutOption : top));
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto more = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)];
    const float y = logits[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(count), order.end(),
                    more);
  std::string out = "{\"top\": [";
  for (size_t i = 0; i < count; ++i) {
    fmt::format_to(std::back_inserter(out), "{}[{}, ", i == 0 ? "" : ", ", order[i]);
    AppendFloat(out, logits[static_cast<size_t>(order[i])]);
    out += ']';
  }
  fmt::format_to(std::back_inserter(out), "], \"logsumexp\": {}, \"sha256\": \"{}\"",
                 LogSumExp(logits), ToHex(Sha256Of(std::as_bytes(std::span(logits)))));
  if (top < 0) {
    out += ", \"logits\": [";
    for (size_t i = 0; i < logits.size(); ++i) {
      if (i > 0) out += ", ";
      AppendFloat(out, logits[i]);
    }
    out += ']';
  }
  return out + "}";
}

// Greedy tokens behind the prompt, up to and with the first that ends a generation.
Result<std::vector<int32_t>> Greedy(ModelSession& session, const LogitsOptions& options) {
  GenerationRequest request;
  request.prompt = options.tokens;
  request.max_tokens = options.greedy;
  const auto collector = std::make_shared<TokenCollector>();
  ASSIGN_OR_RETURN(const Ending ending, RunToEnd(session.engine(), std::move(request), collector));
  static_cast<void>(ending);
  std::vector<int32_t> tokens = collector->tokens();
  // A file without a tokenizer has no end tokens.
  const Result<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Load(session.file());
  if (!tokenizer.ok()) return tokens;
  const auto end = std::find_if(tokens.begin(), tokens.end(),
                                [&](int32_t id) { return (*tokenizer)->EndsGeneration(id); });
  if (end != tokens.end()) tokens.erase(end + 1, tokens.end());
  return tokens;
}

Status RunLogits(const LogitsOptions& options) {
  BlockTerminationSignals();
  const SignalListener interrupted([](int number) { std::_Exit(128 + number); });
  RETURN_IF_ERROR(InitLogging("shoal", options.session.log_level));
  ASSIGN_OR_RETURN(const std::unique_ptr<ModelSession> session,
                   ModelSession::Open(options.session));
  RETURN_IF_ERROR(session->Start([](const std::string&) {}));
  std::vector<std::string> positions;
  GenerationRequest request;
  request.prompt = options.tokens;
  request.logits = true;
  const auto collector = std::make_shared<TokenCollector>(
      [&](const LogitsRow& row) { positions.push_back(FormatPosition(row.logits, options.top)); });
  ASSIGN_OR_RETURN(const Ending ending, RunToEnd(session->engine(), std::move(request), collector));
  static_cast<void>(ending);
  std::vector<int32_t> greedy;
  if (options.greedy > 0) {
    ASSIGN_OR_RETURN(greedy, Greedy(*session, options));
  }
  std::string out =
      fmt::format("{{\"tokens\": [{}], \"positions\": [", fmt::join(options.tokens, ", "));
  for (size_t i = 0; i < positions.size(); ++i) {
    if (i > 0) out += ", ";
    out += positions[i];
  }
  out += fmt::format("], \"greedy\": [{}]}}\n", fmt::join(greedy, ", "));
  std::fwrite(out.data(), 1, out.size(), stdout);
  return OkStatus();
}

}  // namespace

void AddLogitsCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<LogitsOptions>();
  // Other implementations' reference logits are computed with an f32 cache.
  options->session.kv_type = TensorType::kF32;
  CLI::App* command = app.add_subcommand("logits", "Print the logits of given tokens as JSON");
  options->session.plan = "spread";  // over the nodes that are named
  AddSessionOptions(*command, options->session);
  AddThreadsOption(*command, options->session.threads);
  command->add_option("--tokens", options->tokens, "Token ids, e.g. 1,2,3")
      ->delimiter(',')
      ->required();
  command->add_option("--top", options->top, "Print only the K largest logits of each position")
      ->check(CLI::Range(1, 1 << 22));
  command->add_option("--greedy", options->greedy, "Also continue greedily by N tokens")
      ->check(CLI::Range(0, StepLimits::kMaxContextTokens));
  command->callback([options, &exit_code] {
    const Status done = RunLogits(*options);
    if (!done.ok()) exit_code = Fail("logits", done.error());
  });
}

}  // namespace shoal
