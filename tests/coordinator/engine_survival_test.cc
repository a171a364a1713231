// Proves that requests outlive their pipelines. The oracle is a model in miniature, whose next
// token is a hash of all tokens of the session, of how many of them are the prompt, and of the
// seed: with pipelines lost at random, every request must get the tokens that it gets from one that
// lasts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "coordinator/engine.h"
#include "tests/coordinator/engine_recorder.h"
#include "tests/coordinator/mini_model.h"

namespace shoal {
namespace {

using Asked = MiniModel::Asked;

class World {
 public:
  explicit World(int64_t queue_timeout_ns = 0) : engine(SmallOptions(), clock, queue_timeout_ns) {
    Attach();
  }
  void Attach() {
    pipeline_ = std::make_shared<RecordingPipeline>();
    model_ = MiniModel();
    engine.Attach(pipeline_, {Epoch{++epoch_}, 3, 160, true});
  }
  void Lose() { engine.OnLost(Epoch{epoch_}, Unavailable("node b is gone")); }
  std::shared_ptr<RecordingSink> Start(const Asked& asked) {
    auto sink = std::make_shared<RecordingSink>();
    GenerationRequest request = Request(asked.prompt_tokens, asked.max_tokens, sink);
    request.sampling.seed = asked.seed;
    EXPECT_TRUE(engine.Start(std::move(request)).ok());
    return sink;
  }
  // Answers the oldest step; false if none is under way.
  bool Answer() {
    if (pipeline_->steps.empty()) return false;
    const Step step = std::move(pipeline_->steps.front());
    pipeline_->steps.pop_front();
    engine.OnResult(model_.Run(step));
    return true;
  }

  FakeClock clock;
  Engine engine;

 private:
  std::shared_ptr<RecordingPipeline> pipeline_;
  MiniModel model_;
  uint64_t epoch_ = 0;
};

RC_GTEST_PROP(EngineSurvivalProperty, TrapReplayRebuildsTheCacheAndLossesDoNotChangeTheTokens, ()) {
  World world;
  std::vector<std::pair<Asked, std::shared_ptr<RecordingSink>>> all;
  const auto count = *rc::gen::inRange(1, 6);  // more than may run at once: some wait
  for (int i = 0; i < count; ++i) {
    const Asked asked{*rc::gen::inRange(1, 40), *rc::gen::inRange(1, 24),
                      *rc::gen::inRange(0U, 9U)};
    all.emplace_back(asked, world.Start(asked));
  }
  int losses = 0;
  do {
    if (losses < 20 && *rc::gen::inRange(0, 6) == 0) {
      ++losses;
      world.Lose();
      RC_ASSERT(world.engine.status().state == EngineState::kLost);
      world.Attach();
    }
  } while (world.Answer());
  RC_CLASSIFY(losses > 2, "several losses");
  for (const auto& [asked, sink] : all) {
    RC_ASSERT(sink->finishes == 1);
    RC_ASSERT(sink->calls_after_end == 0);
    RC_ASSERT(!sink->error.has_value());
    RC_ASSERT(sink->tokens == MiniModel::TokensOf(asked));
    RC_ASSERT(sink->stats.answer_tokens == static_cast<int32_t>(sink->tokens.size()));
  }
  const EngineStatus status = world.engine.status();
  RC_ASSERT(status.running == 0 && status.queued == 0);
}

TEST(EngineSurvival, WhoComesMeanwhileWaitsAsWell) {
  World world;
  const auto sink = world.Start({4, 10, 1});
  world.Lose();
  const auto late = world.Start({4, 10, 1});
  EXPECT_EQ(world.engine.status().queued, 2);
  EXPECT_EQ(sink->finishes + late->finishes, 0);
  world.Attach();
  while (world.Answer()) {
  }
  EXPECT_EQ(sink->finishes, 1);
  EXPECT_EQ(late->tokens, sink->tokens);
  EXPECT_EQ(late->stats.replays, 0);
}

TEST(EngineSurvival, NobodyWaitsLongerThanIsStated) {
  World world(10 * kNsPerS);
  world.clock.AdvanceNs(100 * kNsPerS);
  const auto ran = world.Start({4, 10, 1});
  ASSERT_TRUE(world.Answer());
  world.clock.AdvanceNs(100 * kNsPerS);
  world.Lose();
  world.clock.AdvanceNs(6 * kNsPerS);
  const auto late = world.Start({4, 10, 1});
  world.engine.SetStarting("loading");
  EXPECT_EQ(ran->finishes, 0);
  world.clock.AdvanceNs(5 * kNsPerS);
  world.engine.SetStarting("loading still");
  ASSERT_EQ(ran->finishes, 1);
  EXPECT_EQ(ran->error->code, ErrorCode::kUnavailable);
  EXPECT_EQ(ran->error->message, "waited 10 s for the nodes: loading still");
  EXPECT_EQ(late->finishes, 0);
  world.Attach();
  while (world.Answer()) {
  }
  EXPECT_EQ(late->tokens, MiniModel::TokensOf({4, 10, 1}));
}

TEST(EngineSurvival, WhatNoPipelineCouldAnswerDoesNotWaitForOne) {
  World world;
  world.Lose();
  const auto start = [&](int32_t prompt_tokens) {
    return world.engine.Start(Request(prompt_tokens, 1, std::make_shared<RecordingSink>()));
  };
  EXPECT_EQ(start(SmallOptions().context_tokens + 1).error().code, ErrorCode::kInvalidArgument);
  for (int i = 0; i < SmallOptions().max_queued; ++i) ASSERT_TRUE(start(1).ok());
  EXPECT_EQ(start(1).error().code, ErrorCode::kResourceExhausted);
  world.engine.GiveUp(Unavailable("nobody is left"));
  EXPECT_EQ(start(1).error().message, "nobody is left");
}

TEST(EngineSurvival, GivingUpEndsThoseWhoWaitWithTheCause) {
  World world;
  const auto sink = world.Start({4, 10, 1});
  world.engine.GiveUp(Unavailable("too early: a pipeline is there"));
  EXPECT_EQ(sink->finishes, 0);
  world.Lose();
  world.engine.GiveUp(Unavailable("nobody is left"));
  EXPECT_EQ(sink->finishes, 1);
  EXPECT_EQ(sink->error->message, "nobody is left");
  EXPECT_EQ(sink->stats.replays, 1);
  world.Attach();
  EXPECT_FALSE(world.Answer());
}

TEST(EngineSurvival, WhoCancelsWhileItWaitsDoesNotComeBack) {
  World world;
  auto sink = std::make_shared<RecordingSink>();
  const auto id = world.engine.Start(Request(4, 10, sink));
  ASSERT_TRUE(id.ok());
  world.Lose();
  world.engine.Cancel(*id);
  EXPECT_EQ(sink->reason, FinishReason::kCancelled);
  world.Attach();
  EXPECT_FALSE(world.Answer());
}

// A pipeline with less KV memory than the first: who does not fit any more is told so.
TEST(EngineSurvival, ARequestThatNoLongerFitsEndsWithAnError) {
  FakeClock clock;
  Engine engine(SmallOptions(), clock);
  const auto first = std::make_shared<RecordingPipeline>();
  engine.Attach(first, {Epoch{1}, 1, 160, true});
  const auto large = std::make_shared<RecordingSink>();
  const auto small = std::make_shared<RecordingSink>();
  ASSERT_TRUE(engine.Start(Request(40, 20, large)).ok());
  ASSERT_TRUE(engine.Start(Request(4, 4, small)).ok());
  engine.OnLost(Epoch{1}, Unavailable("node b is gone"));
  const auto second = std::make_shared<RecordingPipeline>();
  engine.Attach(second, {Epoch{2}, 1, 32, true});
  EXPECT_EQ(large->finishes, 1);
  ASSERT_TRUE(large->error.has_value());
  EXPECT_THAT(large->error->message, ::testing::HasSubstr("32"));
  EXPECT_EQ(small->finishes, 0);
  EXPECT_EQ(second->steps.size(), 1U);
}

TEST(EngineSurvival, WhoWaitsForMemoryForTooLongIsToldSo) {
  FakeClock clock;
  Engine engine(SmallOptions(), clock, 5 * kNsPerS);
  const auto pipeline = std::make_shared<RecordingPipeline>();
  engine.Attach(pipeline, {Epoch{1}, 1, 160, true});
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 3; ++i) {  // two may run
    sinks.push_back(std::make_shared<RecordingSink>());
    ASSERT_TRUE(engine.Start(Request(4, 20, sinks.back())).ok());
  }
  const auto answer = [&] {
    const Step step = std::move(pipeline->steps.front());
    pipeline->steps.pop_front();
    engine.OnResult(Answer(step, 7));
  };
  clock.AdvanceNs(5 * kNsPerS);
  answer();
  EXPECT_EQ(sinks[2]->finishes, 0);
  clock.AdvanceNs(kNsPerS);
  answer();
  EXPECT_EQ(sinks[2]->finishes, 1);
  ASSERT_TRUE(sinks[2]->error.has_value());
  EXPECT_EQ(sinks[2]->error->code, ErrorCode::kUnavailable);
  EXPECT_THAT(sinks[2]->error->message, ::testing::HasSubstr("waited 5 s"));
  EXPECT_EQ(sinks[0]->finishes + sinks[1]->finishes, 0);
}

// Rows that were reported must not be reported twice.
TEST(EngineSurvival, RequestsForLogitsEndWithTheirPipeline) {
  World world;
  const auto sink = std::make_shared<RecordingSink>();
  GenerationRequest request = Request(20, 1, sink);
  request.logits = true;
  ASSERT_TRUE(world.engine.Start(std::move(request)).ok());
  world.Answer();
  world.Lose();
  EXPECT_EQ(sink->finishes, 1);
  EXPECT_EQ(sink->error->message, "node b is gone");
}

TEST(EngineSurvival, APipelineThatNothingReplacesTakesItsRequestsAlong) {
  FakeClock clock;
  Engine engine(SmallOptions(), clock);
  const auto pipeline = std::make_shared<RecordingPipeline>();
  engine.Attach(pipeline, {Epoch{1}, 1, 160});
  const auto sink = std::make_shared<RecordingSink>();
  ASSERT_TRUE(engine.Start(Request(4, 4, sink)).ok());
  engine.OnLost(Epoch{1}, Unavailable("out of memory"));
  EXPECT_EQ(sink->finishes, 1);
}

}  // namespace
}  // namespace shoal
