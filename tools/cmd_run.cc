// `shoal run`: one answer in the terminal, or a chat.
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/wall_clock.h"
#include "coordinator/text_model.h"
#include "coordinator/text_stream.h"
#include "tools/commands.h"
#include "tools/generate.h"
#include "tools/model_session.h"
#include "tools/signals.h"
#include "tools/terminal.h"
#include "tools/threads_option.h"
#include "tools/units.h"

namespace shoal {

namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr int kInterrupted = 130;

struct RunOptions {
  SessionOptions session;
  std::string prompt;
  std::string system;
  int32_t max_tokens = 0;  // 0: as far as the context goes
  std::optional<uint64_t> seed;
  SamplingParams sampling;
  bool raw = false;
  bool stages = false;
  bool json = false;
};

// Prints text as it comes.
class PrintSink final : public TextSink {
 public:
  PrintSink(EndingFuture& ending, std::string& text, bool print)
      : ending_(ending), text_(text), print_(print) {}

  void OnText(std::string_view text, const SampledToken& /*token*/) override { Emit(text); }
  void OnFinish(std::string_view tail, FinishReason reason, const std::optional<Error>& error,
                const GenerationStats& stats) override {
    Emit(tail);
    ending_.Set(reason, error, stats);
  }

 private:
  void Emit(std::string_view text) {
    text_ += text;
    if (!print_ || text.empty()) return;
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  EndingFuture& ending_;
  std::string& text_;
  const bool print_;
};

// Ctrl-C: the first ends the answer in progress, with none in progress the program.
class Interrupter {
 public:
  explicit Interrupter(Engine& engine) : engine_(engine), listener_([this](int) { OnSignal(); }) {}

  void Watch(std::optional<SessionId> session) {
    const std::lock_guard lock(mutex_);
    session_ = session;
    interrupted_ = false;
  }

 private:
  void OnSignal() {
    const std::lock_guard lock(mutex_);
    // Local nodes notice by themselves that this process is gone.
    if (!session_ || interrupted_) std::_Exit(kInterrupted);
    interrupted_ = true;
    engine_.Cancel(*session_);
  }

  Engine& engine_;
  std::mutex mutex_;  // guards the next two
  std::optional<SessionId> session_;
  bool interrupted_ = false;  // in this answer
  SignalListener listener_;
};

struct Answer {
  std::string text;
  Ending ending;
};

// Tokens of the context that a chat keeps free for an answer of unknown length.
constexpr int32_t kAnswerRoom = 256;

class Conversation {
 public:
  Conversation(ModelSession& session, const TextModel& text, const RunOptions& options)
      : session_(session), text_(text), options_(options), interrupter_(session.engine()) {
    if (!options.system.empty()) Add("system", options.system);
  }

  // Answers `prompt`, printing as it goes, and remembers both; forgets what was refused.
  Result<Answer> Ask(const std::string& prompt) {
    if (options_.raw) return Generate(text_.tokenizer().Encode(prompt, ParseSpecial::kYes));
    Add("user", prompt);
    Result<Answer> answer = AnswerChat();
    if (answer.ok()) {
      Add("assistant", answer->text);
    } else {
      messages_.erase(messages_.size() - 1);
    }
    return answer;
  }

 private:
  void Add(const char* role, const std::string& content) {
    messages_.push_back({{"role", role}, {"content", content}});
  }

  Result<Answer> AnswerChat() {
    const int32_t context = session_.options().context;
    const int32_t wanted = options_.max_tokens > 0 ? options_.max_tokens : kAnswerRoom;
    const auto room = static_cast<size_t>(context - std::min(wanted, context / 4));
    while (true) {
      ASSIGN_OR_RETURN(const std::string rendered,
                       text_.RenderChat({{"messages", messages_}}, LocalToday()));
      std::vector<int32_t> tokens = text_.EncodeChat(rendered);
      if (tokens.size() <= room || !ForgetOldest()) return Generate(std::move(tokens));
    }
  }

  // The oldest question and its answer make room; the system message and the newest question stay.
  bool ForgetOldest() {
    const size_t first = messages_[0]["role"] == "system" ? 1 : 0;
    if (messages_.size() < first + 3) return false;
    const auto oldest = messages_.begin() + static_cast<ptrdiff_t>(first);
    messages_.erase(oldest, oldest + 2);
    fmt::print(stderr, "[the context of {} tokens is full: the oldest question is forgotten]\n",
               session_.options().context);
    return true;
  }

  Result<Answer> Generate(std::vector<int32_t> tokens) {
    GenerationRequest request;
    const auto left = session_.options().context -
                      static_cast<int32_t>(std::min<size_t>(tokens.size(), INT32_MAX));
    request.max_tokens =
        std::max(1, options_.max_tokens > 0 ? std::min(options_.max_tokens, left) : left);
    request.prompt = std::move(tokens);
    request.sampling = options_.sampling;
    const auto ends = text_.tokenizer().end_ids();
    request.end_ids.assign(ends.begin(), ends.end());
    Answer answer;
    EndingFuture ending;
    request.sink = std::make_shared<TextStream>(
        text_.tokenizer(), std::vector<std::string>{},
        std::make_unique<PrintSink>(ending, answer.text, !options_.json));
    ASSIGN_OR_RETURN(const SessionId id, session_.engine().Start(std::move(request)));
    interrupter_.Watch(id);
    answer.ending = ending.Wait();
    interrupter_.Watch(std::nullopt);
    return answer;
  }

  ModelSession& session_;
  const TextModel& text_;
  const RunOptions& options_;
  OrderedJson messages_ = OrderedJson::array();
  Interrupter interrupter_;
};

std::string_view ReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kEndToken:
    case FinishReason::kStopped: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kCancelled: return "cancelled";
    case FinishReason::kError: return "error";
  }
  return "error";
}

// What is said on stderr afterwards comes after the answer.
void EndLine() {
  std::puts("");
  std::fflush(stdout);
}

void PrintStats(const GenerationStats& stats, bool stages) {
  const int32_t decoded = std::max(0, stats.answer_tokens - 1);
  fmt::print(stderr, "[prefill {} tokens, {:.0f} tokens/s; decode {} tokens, {:.1f} tokens/s]\n",
             stats.prompt_tokens, PerSecond(stats.prompt_tokens, stats.prefill_ns),
             stats.answer_tokens, PerSecond(decoded, stats.decode_ns));
  if (stats.replays > 0) {
    fmt::print(stderr, "[went on after losing a node: {} time{}]\n", stats.replays,
               stats.replays == 1 ? "" : "s");
  }
  if (!stages) return;
  const int64_t total_ns = stats.prefill_ns + stats.decode_ns;
  for (size_t i = 0; i < stats.stage_compute_ns.size(); ++i) {
    const int64_t ns = stats.stage_compute_ns[i];
    fmt::print(stderr, "[stage {}: computed for {} ms, {:.0f} % of the time]\n", i, ns / kNsPerMs,
               total_ns > 0 ? 100.0 * static_cast<double>(ns) / static_cast<double>(total_ns) : 0);
  }
}

void PrintAnswerJson(const Answer& answer) {
  const GenerationStats& stats = answer.ending.stats;
  OrderedJson out;
  out["text"] = answer.text;
  out["finish_reason"] = ReasonName(answer.ending.reason);
  if (answer.ending.error) out["error"] = answer.ending.error->message;
  out["prompt_tokens"] = stats.prompt_tokens;
  out["answer_tokens"] = stats.answer_tokens;
  out["prefill_tokens_per_s"] = PerSecond(stats.prompt_tokens, stats.prefill_ns);
  out["decode_tokens_per_s"] = PerSecond(std::max(0, stats.answer_tokens - 1), stats.decode_ns);
  out["stage_compute_ns"] = stats.stage_compute_ns;
  std::printf("%s\n", out.dump(-1, ' ', false, OrderedJson::error_handler_t::replace).c_str());
}

// One prompt: the exit code.
Result<int> AnswerOnce(Conversation& conversation, const RunOptions& options) {
  ASSIGN_OR_RETURN(const Answer answer, conversation.Ask(options.prompt));
  if (options.json) {
    PrintAnswerJson(answer);
  } else {
    EndLine();
    PrintStats(answer.ending.stats, options.stages);
  }
  if (answer.ending.error) return *answer.ending.error;
  return answer.ending.reason == FinishReason::kCancelled ? kInterrupted : 0;
}

bool ReadPrompt(std::string& line) {
  line.clear();
  for (int c = std::getchar(); c != EOF; c = std::getchar()) {
    if (c == '\n') return true;
    line.push_back(static_cast<char>(c));
  }
  return !line.empty();
}

Result<int> Chat(Conversation& conversation, const RunOptions& options) {
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  if (terminal) std::fputs("Type a message; Ctrl-C ends an answer, Ctrl-D the chat.\n", stderr);
  std::string line;
  while (true) {
    if (terminal) std::fputs("> ", stderr);
    if (!ReadPrompt(line)) return 0;
    if (line.empty()) continue;
    const Result<Answer> answer = conversation.Ask(line);
    if (!answer.ok()) {
      Fail("run", answer.error());
      if (!terminal) return 1;
      continue;
    }
    EndLine();
    PrintStats(answer->ending.stats, options.stages);
    if (answer->ending.error) {
      Fail("run", *answer->ending.error);
      if (!terminal) return 1;
    }
  }
}

Result<int> RunRun(RunOptions& options) {
  BlockTerminationSignals();
  RETURN_IF_ERROR(InitLogging("shoal", options.session.log_level));
  std::random_device random;
  options.sampling.seed = options.seed ? *options.seed : (uint64_t{random()} << 32) | random();
  ProgressLine progress;
  std::unique_ptr<ModelSession> session;
  std::unique_ptr<TextModel> text;
  {
    const SignalListener interrupted([](int) { std::_Exit(kInterrupted); });
    ASSIGN_OR_RETURN(session, ModelSession::Open(options.session));
    RETURN_IF_ERROR(session->Start([&](const std::string& line) { progress.Show(line); }));
    ASSIGN_OR_RETURN(text, TextModel::Load(session->file()));
  }
  progress.Clear();
  if (options.stages) std::fputs(session->DescribeStages().c_str(), stderr);
  Conversation conversation(*session, *text, options);
  return options.prompt.empty() ? Chat(conversation, options) : AnswerOnce(conversation, options);
}

void AddSamplingOptions(CLI::App& command, RunOptions& options) {
  SamplingParams& sampling = options.sampling;
  sampling.temperature = 0.7F;
  sampling.top_p = 0.95F;
  command.add_option("--temperature", sampling.temperature, "0: always the likeliest token")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 100.0));
  command.add_option("--top-k", sampling.top_k, "Draw from the K likeliest (0: off)")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 22));
  command.add_option("--top-p", sampling.top_p, "Draw from the likeliest with this mass (1: off)")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  command
      .add_option("--min-p", sampling.min_p,
                  "Leave out what is this much less likely than the first")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--repetition-penalty", sampling.repetition_penalty, "1: off")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 100.0));
  command.add_option("--seed", options.seed, "Makes a draw repeatable (default: random)");
}

}  // namespace

void AddRunCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = app.add_subcommand("run", "Answer a prompt, or chat without one");
  AddSessionOptions(*command, options->session);
  AddThreadsOption(*command, options->session.threads);
  const CLI::Option* prompt =
      command->add_option("PROMPT", options->prompt, "What to answer (default: a chat on stdin)");
  command
      ->add_option("--max-tokens", options->max_tokens,
                   "Of the answer (default: what the context holds)")
      ->check(CLI::Range(1, StepLimits::kMaxContextTokens));
  command->add_option("--system", options->system, "System message");
  AddSamplingOptions(*command, *options);
  command->add_flag("--raw", options->raw,
                    "Continue the prompt as it is, without the chat template");
  command->add_flag("--stages", options->stages, "Also show each stage and its share of the time");
  command->add_flag("--json", options->json, "Print one JSON object (needs PROMPT)");
  command->callback([options, prompt, &exit_code] {
    if (prompt->count() > 0 && options->prompt.empty()) {
      exit_code = Fail("run", InvalidArgument("PROMPT is empty; leave it out for a chat"));
      return;
    }
    if (options->json && options->prompt.empty()) {
      exit_code = Fail("run", InvalidArgument("--json needs a PROMPT"));
      return;
    }
    const Result<int> code = RunRun(*options);
    exit_code = code.ok() ? *code : Fail("run", code.error());
  });
}

}  // namespace shoal
