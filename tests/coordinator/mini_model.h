// A model in miniature, for tests of the engine: the next token is a hash of all tokens of the
// session, of how many of them are the prompt, and of the seed. So whoever replays a session
// wrongly gets other tokens.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "coordinator/engine.h"
#include "tests/coordinator/engine_recorder.h"

namespace shoal {

// What the stages of one pipeline know.
class MiniModel {
 public:
  struct Asked {
    int32_t prompt_tokens = 1;
    int32_t max_tokens = 1;
    uint64_t seed = 0;
  };

  StepResult Run(const Step& step) {
    for (const SessionId id : step.closes) sessions_.erase(id);
    for (const SessionOpen& open : step.opens) sessions_[open.session] = {open, {}};
    StepResult result = Answer(step, 0);
    size_t sampled = 0;
    for (const Slice& slice : step.slices) {
      Session& session = sessions_.at(slice.session);  // a stage refuses one that is not open
      EXPECT_EQ(slice.position, static_cast<int32_t>(session.tokens.size()));
      session.tokens.insert(session.tokens.end(), slice.tokens.begin(), slice.tokens.end());
      if (slice.output == Output::kSample) result.tokens[sampled++].token = Next(session);
    }
    return result;
  }

  // The answer that a pipeline gives which is never lost.
  static std::vector<int32_t> TokensOf(const Asked& asked) {
    const FakeClock clock;
    Engine engine(SmallOptions(), clock);
    const auto pipeline = std::make_shared<RecordingPipeline>();
    engine.Attach(pipeline, {Epoch{1}, 3, 160, true});
    const auto sink = std::make_shared<RecordingSink>();
    GenerationRequest request = Request(asked.prompt_tokens, asked.max_tokens, sink);
    request.sampling.seed = asked.seed;
    EXPECT_TRUE(engine.Start(std::move(request)).ok());
    MiniModel model;
    while (!pipeline->steps.empty()) {
      const Step step = std::move(pipeline->steps.front());
      pipeline->steps.pop_front();
      engine.OnResult(model.Run(step));
    }
    return sink->tokens;
  }

 private:
  struct Session {
    SessionOpen open;
    std::vector<int32_t> tokens;
  };
  static int32_t Next(const Session& session) {
    uint64_t hash =
        session.open.sampling.seed * 31 + static_cast<uint64_t>(session.open.prompt_tokens);
    for (const int32_t token : session.tokens) hash = hash * 6364136223846793005U + token + 1;
    return static_cast<int32_t>(hash >> 40) % 40;  // kEndId now and then
  }
  std::map<SessionId, Session> sessions_;
};

}  // namespace shoal
