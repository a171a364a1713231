#include "coordinator/api/answer.h"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <ctime>
#include <exception>
#include <random>
#include <utility>

#include "coordinator/text_stream.h"

namespace shoal {

namespace {

uint64_t RandomBits() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

std::string RandomId(Endpoint endpoint) {
  return fmt::format("{}{:016x}{:016x}", endpoint == Endpoint::kChat ? "chatcmpl-" : "cmpl-",
                     RandomBits(), RandomBits());
}

// Carries one choice's text from the engine's thread to the I/O thread.
class ChoiceSink final : public TextSink {
 public:
  ChoiceSink(std::weak_ptr<Answer> answer, ServerContext& server, size_t choice, bool logprobs)
      : answer_(std::move(answer)), server_(server), choice_(choice), logprobs_(logprobs) {}

  void OnText(std::string_view text, const SampledToken& token) override {
    std::optional<TokenReport> report;
    if (logprobs_) report = MakeTokenReport(server_.text.tokenizer(), token);
    if (text.empty() && !report) return;
    boost::asio::post(server_.io, [answer = answer_, choice = choice_, text = std::string(text),
                                   report = std::move(report)] {
      if (const auto target = answer.lock()) target->OnText(choice, text, report);
    });
  }

  void OnFinish(std::string_view tail, FinishReason reason, const std::optional<Error>& error,
                const GenerationStats& stats) override {
    boost::asio::post(server_.io, [answer = answer_, choice = choice_, tail = std::string(tail),
                                   reason, error, stats] {
      if (const auto target = answer.lock()) target->OnFinish(choice, tail, reason, error, stats);
    });
  }

 private:
  const std::weak_ptr<Answer> answer_;
  ServerContext& server_;
  const size_t choice_;
  const bool logprobs_;
};

}  // namespace

Answer::Answer(ServerContext& server, Endpoint endpoint, ReplyChannel& channel)
    : server_(server), endpoint_(endpoint), channel_(&channel), keep_alive_timer_(server.io) {}

void Answer::Begin(std::string body) {
  PrepareRules rules;
  rules.model = {server_.options.model_id, server_.text.tokenizer().vocab_size()};
  rules.context_tokens = server_.engine.context_length();
  rules.default_max_tokens = server_.options.default_max_tokens;
  rules.today = LocalToday();
  boost::asio::post(server_.workers, [self = shared_from_this(), rules = std::move(rules),
                                      body = std::move(body)] {
    Prepared prepared = ApiError{};
    try {
      prepared = Prepare(self->endpoint_, body, self->server_.text, rules);
    } catch (const std::exception& exception) {  // the JSON library's, or out of memory
      ApiError error;
      error.message = fmt::format("the request could not be prepared: {}", exception.what());
      prepared = std::move(error);
    }
    boost::asio::post(self->server_.io, [self, prepared = std::move(prepared)]() mutable {
      self->OnPrepared(std::move(prepared));
    });
  });
}

void Answer::OnPrepared(Prepared prepared) {
  if (channel_ == nullptr) return;
  if (const auto* error = std::get_if<ApiError>(&prepared)) return Fail(*error);
  request_ = std::get<PreparedRequest>(std::move(prepared));
  const ParsedRequest& parsed = request_.parsed;

  ResponseFormat::Head head;
  head.endpoint = endpoint_;
  head.id = RandomId(endpoint_);
  head.created_unix_s = std::time(nullptr);
  head.model = server_.options.model_id;
  head.include_usage = parsed.include_usage;
  head.logprobs = parsed.sampling.logprobs >= 0;
  format_.emplace(std::move(head));

  if (const Status started = StartSessions(); !started.ok()) {
    return Fail(FromStartError(started.error()));
  }
  if (parsed.stream) KeepAlive();
}

Status Answer::StartSessions() {
  const ParsedRequest& parsed = request_.parsed;
  const Tokenizer& tokenizer = server_.text.tokenizer();
  const auto per_prompt = static_cast<size_t>(parsed.choices);
  choices_.resize(request_.prompts.size() * per_prompt);
  unfinished_ = choices_.size();
  for (size_t i = 0; i < choices_.size(); ++i) {
    const PreparedPrompt& prompt = request_.prompts[i / per_prompt];
    const size_t nth = i % per_prompt;
    if (nth == 0) usage_.prompt_tokens += static_cast<int64_t>(prompt.tokens.size());
    choices_[i].collected.text = prompt.echo;

    GenerationRequest generation;
    generation.prompt = prompt.tokens;
    generation.sampling = parsed.sampling;
    generation.sampling.seed = parsed.seed ? *parsed.seed + nth : RandomBits();
    generation.max_tokens = prompt.max_tokens;
    generation.end_ids.assign(tokenizer.end_ids().begin(), tokenizer.end_ids().end());
    generation.sink = std::make_shared<TextStream>(
        tokenizer, parsed.stop,
        std::make_unique<ChoiceSink>(weak_from_this(), server_, i, parsed.sampling.logprobs >= 0));
    ASSIGN_OR_RETURN(choices_[i].session, server_.engine.Start(std::move(generation)));
  }
  return OkStatus();
}

void Answer::CancelSessions() {
  for (ChoiceState& choice : choices_) {
    if (choice.session) server_.engine.Cancel(*std::exchange(choice.session, std::nullopt));
  }
}

void Answer::Abandon() {
  channel_ = nullptr;
  keep_alive_timer_.cancel();
  CancelSessions();
}

void Answer::Stop() {
  if (channel_ == nullptr) return;
  Fail(FromGenerationError(
      Unavailable("the server is shutting down; send the request again once it is back")));
}

void Answer::OnText(size_t choice, const std::string& text,
                    const std::optional<TokenReport>& report) {
  if (channel_ != nullptr) ShowText(choice, text, report ? &*report : nullptr);
}

void Answer::OnFinish(size_t choice, const std::string& tail, FinishReason reason,
                      const std::optional<Error>& error, const GenerationStats& stats) {
  ChoiceState& state = choices_[choice];
  state.session.reset();
  if (channel_ == nullptr) return;
  if (reason == FinishReason::kError || reason == FinishReason::kCancelled) {
    return Fail(FromGenerationError(
        error.value_or(Unavailable("the server stopped this request; it may be sent again"))));
  }
  if (!tail.empty()) ShowText(choice, tail, nullptr);
  const std::string finish_reason = reason == FinishReason::kLength ? "length" : "stop";
  state.collected.finish_reason = finish_reason;
  usage_.completion_tokens += stats.answer_tokens;
  if (request_.parsed.stream) {
    EnsureStream();
    channel_->SendEvent(format_->LastChunk(static_cast<int>(choice), finish_reason));
  }
  if (--unfinished_ == 0) Complete();
}

void Answer::ShowText(size_t choice, const std::string& text, const TokenReport* report) {
  ChoiceState& state = choices_[choice];
  if (!request_.parsed.stream) {
    state.collected.text += text;
    if (report != nullptr) state.collected.tokens.push_back(*report);
    return;
  }
  EnsureStream();
  quiet_ = false;
  channel_->SendEvent(format_->TextChunk(static_cast<int>(choice), text, report, state.characters));
  if (report != nullptr) state.characters += CountCharacters(report->chosen.bytes);
}

void Answer::EnsureStream() {
  if (streaming_) return;
  streaming_ = true;
  channel_->BeginStream();
  for (size_t i = 0; i < choices_.size(); ++i) {
    const int choice = static_cast<int>(i);
    const std::string& echo = choices_[i].collected.text;
    if (endpoint_ == Endpoint::kChat) channel_->SendEvent(format_->RoleChunk(choice));
    if (!echo.empty()) channel_->SendEvent(format_->TextChunk(choice, echo, nullptr, 0));
  }
}

void Answer::Complete() {
  keep_alive_timer_.cancel();
  ReplyChannel& channel = *std::exchange(channel_, nullptr);
  if (request_.parsed.stream) {
    if (request_.parsed.include_usage) channel.SendEvent(format_->UsageChunk(usage_));
    channel.SendEvent("[DONE]");
    return channel.EndStream(false);
  }
  std::vector<Choice> collected;
  collected.reserve(choices_.size());
  for (ChoiceState& choice : choices_) collected.push_back(std::move(choice.collected));
  HttpReply reply;
  reply.body = format_->Whole(collected, usage_);
  channel.Reply(reply);
}

void Answer::Fail(const ApiError& error) {
  keep_alive_timer_.cancel();
  CancelSessions();
  ReplyChannel& channel = *std::exchange(channel_, nullptr);
  if (!streaming_) return channel.Reply(ErrorReply(error));
  channel.SendEvent(error.Json());
  channel.EndStream(true);
}

void Answer::KeepAlive() {
  quiet_ = true;
  keep_alive_timer_.expires_after(server_.options.timeouts.keep_alive);
  keep_alive_timer_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    if (error || !self || self->channel_ == nullptr) return;
    if (self->quiet_) {
      self->EnsureStream();
      self->channel_->SendComment("waiting");
    }
    self->KeepAlive();
  });
}

}  // namespace shoal
