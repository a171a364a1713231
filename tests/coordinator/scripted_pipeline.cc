#include "tests/coordinator/scripted_pipeline.h"

#include <chrono>
#include <utility>

namespace shoal {

namespace {

// A real pipeline takes its time, too; this one would outrun every reader.
constexpr std::chrono::microseconds kStepTime{50};

}  // namespace

ScriptedPipeline::ScriptedPipeline(PipelineListener& listener, Script script)
    : listener_(listener), script_(std::move(script)), thread_([this] { AnswerThreadMain(); }) {}

ScriptedPipeline::~ScriptedPipeline() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Status ScriptedPipeline::Submit(Step step) {
  const std::lock_guard lock(mutex_);
  for (const SessionOpen& open : step.opens) sampling_.push_back(open.sampling);
  steps_.push_back(std::move(step));
  changed_.notify_all();
  return OkStatus();
}

std::vector<SamplingParams> ScriptedPipeline::sampling() const {
  const std::lock_guard lock(mutex_);
  return sampling_;
}

void ScriptedPipeline::AnswerThreadMain() {
  for (;;) {
    Step step;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || !steps_.empty(); });
      if (stop_) return;
      step = std::move(steps_.front());
      steps_.pop_front();
    }
    std::this_thread::sleep_for(kStepTime);
    listener_.OnResult(Answer(step));
  }
}

StepResult ScriptedPipeline::Answer(const Step& step) {
  StepResult result;
  result.epoch = step.epoch;
  result.id = step.id;
  for (const SessionId session : step.closes) sessions_.erase(session);
  for (const SessionOpen& open : step.opens) {
    sessions_[open.session] = {open.sampling, static_cast<size_t>(open.prompt_tokens), {}};
  }
  for (const Slice& slice : step.slices) {
    Session& session = sessions_.at(slice.session);
    for (const int32_t token : slice.tokens) {
      if (session.prompt.size() < session.prompt_tokens) session.prompt.push_back(token);
    }
    if (slice.output == Output::kSample) Sample(session, slice, result);
  }
  return result;
}

void ScriptedPipeline::Sample(Session& session, const Slice& slice, StepResult& result) {
  SampledToken token;
  token.session = slice.session;
  token.position = slice.position + slice.token_count;
  const std::optional<int32_t> next =
      script_(session.prompt, token.position - static_cast<int32_t>(session.prompt_tokens));
  if (!next) return;
  token.token = *next;
  token.logprob = -0.5f;
  for (int32_t i = 0; i < session.sampling.logprobs; ++i) {
    token.top.push_back({*next + i, -0.5f - static_cast<float>(i)});
  }
  result.tokens.push_back(std::move(token));
}

}  // namespace shoal
