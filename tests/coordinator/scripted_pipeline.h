// A pipeline for tests that computes nothing: a thread of its own answers each step from a script.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/pipeline.h"

namespace shoal {

class ScriptedPipeline final : public Pipeline {
 public:
  // The token to answer with, given the prompt's tokens and how many tokens came before; nothing to
  // leave the session waiting for ever. Called on the pipeline's thread.
  using Script =
      std::function<std::optional<int32_t>(const std::vector<int32_t>& prompt, int32_t index)>;

  ScriptedPipeline(PipelineListener& listener, Script script);
  ~ScriptedPipeline() override;

  Status Submit(Step step) override;
  // Sampling of all sessions opened so far, in order.
  std::vector<SamplingParams> sampling() const;

 private:
  struct Session {
    SamplingParams sampling;
    size_t prompt_tokens = 0;
    std::vector<int32_t> prompt;
  };
  void AnswerThreadMain();
  StepResult Answer(const Step& step);
  void Sample(Session& session, const Slice& slice, StepResult& result);

  PipelineListener& listener_;
  const Script script_;
  std::map<SessionId, Session> sessions_;  // of the answering thread
  mutable std::mutex mutex_;               // guards what follows
  std::condition_variable changed_;
  std::deque<Step> steps_;
  std::vector<SamplingParams> sampling_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace shoal
