// Proves the engine on a fake clock: a pipeline that only records its steps is answered by hand,
// state by state; then one with a thread of its own is used from many threads.
#include "coordinator/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "tests/coordinator/engine_recorder.h"
#include "tests/coordinator/scripted_pipeline.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class EngineTest : public ::testing::Test {
 protected:
  void Attach(uint64_t epoch, int32_t stages = 2) {
    pipeline_ = std::make_shared<RecordingPipeline>();
    engine_.Attach(pipeline_, {Epoch{epoch}, stages, 1024});
  }
  SessionId Start(GenerationRequest request) {
    Result<SessionId> started = engine_.Start(std::move(request));
    EXPECT_TRUE(started.ok());
    return started.ok() ? *started : SessionId{};
  }
  // Takes the oldest step out of the pipeline.
  Step Oldest() {
    EXPECT_FALSE(pipeline_->steps.empty());
    if (pipeline_->steps.empty()) return {};
    Step step = std::move(pipeline_->steps.front());
    pipeline_->steps.pop_front();
    return step;
  }
  void AnswerOldest(int32_t token) { engine_.OnResult(Answer(Oldest(), token)); }

  FakeClock clock_;
  Engine engine_{SmallOptions(), clock_};
  std::shared_ptr<RecordingPipeline> pipeline_;
  std::shared_ptr<RecordingSink> sink_ = std::make_shared<RecordingSink>();
};

TEST_F(EngineTest, TrapRefusesWithTheDetailUntilEveryStageAnswered) {
  engine_.SetStarting("node b: 40 % of layers [0, 12)");
  const auto started = engine_.Start(Request(4, 4, sink_));
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(started.error().message, "node b: 40 % of layers [0, 12)");
  EXPECT_EQ(engine_.status().state, EngineState::kStarting);
  Attach(1);
  EXPECT_EQ(engine_.status().state, EngineState::kReady);
  EXPECT_TRUE(engine_.Start(Request(4, 4, sink_)).ok());
}

TEST_F(EngineTest, DeliversTokensAndEndsWithoutReportingTheEndToken) {
  Attach(1);
  Start(Request(4, 10, sink_));
  AnswerOldest(11);
  AnswerOldest(12);
  EXPECT_THAT(sink_->tokens, ElementsAre(11, 12));
  EXPECT_EQ(sink_->finishes, 0);
  AnswerOldest(kEndId);
  EXPECT_THAT(sink_->tokens, ElementsAre(11, 12));
  EXPECT_EQ(sink_->finishes, 1);
  EXPECT_EQ(sink_->reason, FinishReason::kEndToken);
  EXPECT_FALSE(sink_->error.has_value());
  EXPECT_EQ(sink_->stats.prompt_tokens, 4);
  EXPECT_EQ(sink_->stats.answer_tokens, 2);
  EXPECT_THAT(Oldest().closes, ElementsAre(SessionId{1}));
  EXPECT_EQ(engine_.status().running, 0);
}

TEST_F(EngineTest, EndsAtMaxTokensAndWhenTheContextIsFull) {
  Attach(1);
  Start(Request(4, 2, sink_));
  AnswerOldest(11);
  AnswerOldest(12);
  EXPECT_EQ(sink_->finishes, 1);
  EXPECT_EQ(sink_->reason, FinishReason::kLength);
  EXPECT_EQ(sink_->stats.answer_tokens, 2);

  const auto full = std::make_shared<RecordingSink>();
  Start(Request(63, 100, full));
  while (!pipeline_->steps.empty()) AnswerOldest(13);
  EXPECT_EQ(full->reason, FinishReason::kLength);
  EXPECT_THAT(full->tokens, ElementsAre(13, 13));  // positions 63 and, never read, 64
}

TEST_F(EngineTest, StopsWhenTheSinkHasEnough) {
  Attach(1);
  const auto sink = std::make_shared<RecordingSink>(1);
  Start(Request(4, 10, sink));
  AnswerOldest(11);
  EXPECT_THAT(sink->tokens, ElementsAre(11));
  EXPECT_EQ(sink->finishes, 1);
  EXPECT_EQ(sink->reason, FinishReason::kStopped);
}

TEST_F(EngineTest, CancelsWhileQueuedPrefillingAndDecoding) {
  Attach(1);
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  std::vector<SessionId> ids;
  for (const int32_t prompt_tokens : {4, 40, 4}) {
    sinks.push_back(std::make_shared<RecordingSink>());
    ids.push_back(Start(Request(prompt_tokens, 10, sinks.back())));
  }
  EXPECT_EQ(engine_.status().running, 2);
  EXPECT_EQ(engine_.status().queued, 1);
  AnswerOldest(11);  // the first decodes now, the second reads its prompt, the third waits
  engine_.Cancel(ids[2]);
  EXPECT_EQ(sinks[2]->finishes, 1);
  EXPECT_EQ(engine_.status().queued, 0);
  engine_.Cancel(ids[1]);
  engine_.Cancel(ids[0]);
  while (!pipeline_->steps.empty()) AnswerOldest(12);
  for (const auto& sink : sinks) {
    EXPECT_EQ(sink->finishes, 1);
    EXPECT_EQ(sink->reason, FinishReason::kCancelled);
    EXPECT_EQ(sink->calls_after_end, 0);
    EXPECT_FALSE(sink->error.has_value());
  }
  EXPECT_THAT(sinks[0]->tokens, ElementsAre(11));
  engine_.Cancel(ids[0]);
  engine_.Cancel(SessionId{99});
  EXPECT_EQ(sinks[0]->finishes, 1);
  EXPECT_EQ(engine_.status().running, 0);
}

TEST_F(EngineTest, ALostPipelineFailsAllAndRefusesNewOnesUntilTheNext) {
  Attach(1);
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 4; ++i) {
    sinks.push_back(std::make_shared<RecordingSink>());
    Start(Request(4, 10, sinks.back()));
  }
  const Step old = Oldest();
  engine_.OnLost(Epoch{9}, Unavailable("another epoch"));
  EXPECT_EQ(engine_.status().state, EngineState::kReady);
  engine_.OnLost(Epoch{1}, Unavailable("node b is gone"));
  engine_.OnLost(Epoch{1}, Unavailable("told twice"));
  for (const auto& sink : sinks) {
    EXPECT_EQ(sink->finishes, 1);
    EXPECT_EQ(sink->reason, FinishReason::kError);
    ASSERT_TRUE(sink->error.has_value());
    EXPECT_EQ(sink->error->message, "node b is gone");
  }
  EXPECT_EQ(engine_.status().state, EngineState::kLost);
  EXPECT_EQ(engine_.status().running + engine_.status().queued, 0);
  const auto started = engine_.Start(Request(4, 10, sink_));
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(started.error().message, "node b is gone");
  engine_.OnResult(Answer(old, 11));

  Attach(2);
  Start(Request(4, 10, sink_));
  engine_.OnResult(Answer(old, 11));  // of the old epoch
  EXPECT_THAT(sink_->tokens, IsEmpty());
  AnswerOldest(12);
  EXPECT_THAT(sink_->tokens, ElementsAre(12));
}

TEST_F(EngineTest, AStepThatCannotBeSubmittedWaitsForOnLost) {
  Attach(1);
  pipeline_->broken = true;
  Start(Request(4, 10, sink_));
  EXPECT_EQ(sink_->finishes, 0);
  engine_.OnLost(Epoch{1}, Unavailable("the link broke"));
  EXPECT_EQ(sink_->finishes, 1);
  EXPECT_EQ(sink_->reason, FinishReason::kError);
}

TEST_F(EngineTest, IgnoresResultsOfUnknownStepsAndOfStepsThatAreDone) {
  Attach(1);
  Start(Request(4, 10, sink_));
  const Step step = Oldest();
  StepResult unknown = Answer(step, 11);
  unknown.id = StepId{99};
  engine_.OnResult(unknown);
  unknown.last = false;
  engine_.OnResult(unknown);
  StepResult of_another_epoch = Answer(step, 11);
  of_another_epoch.epoch = Epoch{7};
  engine_.OnResult(of_another_epoch);
  EXPECT_THAT(sink_->tokens, IsEmpty());
  engine_.OnResult(Answer(step, 12));
  engine_.OnResult(Answer(step, 13));
  EXPECT_THAT(sink_->tokens, ElementsAre(12));
  EXPECT_EQ(pipeline_->steps.size(), 1U);
}

TEST_F(EngineTest, LogitsComeForEveryPromptPositionInSeveralMessages) {
  Attach(1);
  GenerationRequest request = Request(10, 0, sink_);
  request.logits = true;
  Start(std::move(request));
  AnswerOldest(0);
  StepResult second = Answer(Oldest(), 0);
  StepResult first = second;
  first.last = false;
  first.logits.pop_back();
  second.logits.erase(second.logits.begin());
  engine_.OnResult(first);
  EXPECT_EQ(sink_->finishes, 0);
  engine_.OnResult(second);
  EXPECT_THAT(sink_->logits_positions, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  EXPECT_EQ(sink_->finishes, 1);
  EXPECT_EQ(sink_->reason, FinishReason::kLength);
  EXPECT_EQ(sink_->calls_after_end, 0);
}

// The clock stands at 0 when the first step goes out: 0 is a time like any other.
TEST_F(EngineTest, CountsTimeQueuedPrefillingDecodingAndInEachStage) {
  Attach(1, 1);
  const auto first = std::make_shared<RecordingSink>();
  Start(Request(4, 2, first));
  clock_.AdvanceNs(10);
  Start(Request(12, 3, sink_));  // waits for the step in flight
  clock_.AdvanceNs(100);
  StepResult result = Answer(Oldest(), 11);
  result.timings = {{0, 7}, {1, 3}, {-1, 50}, {kMaxStages, 50}};
  engine_.OnResult(result);  // at 110: the first has a token, the second's first chunk goes out
  clock_.AdvanceNs(1000);
  result = Answer(Oldest(), 12);
  result.timings = {{0, 20}, {1, 30}};
  engine_.OnResult(result);  // at 1110: the first ends
  EXPECT_EQ(first->finishes, 1);
  EXPECT_EQ(first->stats.queued_ns, 0);
  EXPECT_EQ(first->stats.prefill_ns, 110);
  EXPECT_EQ(first->stats.decode_ns, 1000);
  EXPECT_THAT(first->stats.stage_compute_ns, ElementsAre(27, 33));

  clock_.AdvanceNs(5);
  AnswerOldest(13);
  clock_.AdvanceNs(20);
  AnswerOldest(14);
  clock_.AdvanceNs(30);
  AnswerOldest(kEndId);
  EXPECT_EQ(sink_->finishes, 1);
  EXPECT_EQ(sink_->stats.queued_ns, 100);
  EXPECT_EQ(sink_->stats.prefill_ns, 1005);
  EXPECT_EQ(sink_->stats.decode_ns, 50);
}

TEST_F(EngineTest, ARequestCancelledInTheQueueWasQueuedAllTheTime) {
  Attach(1);
  for (int i = 0; i < 2; ++i) Start(Request(4, 10, std::make_shared<RecordingSink>()));
  const SessionId waiting = Start(Request(4, 10, sink_));
  clock_.AdvanceNs(500);
  engine_.Cancel(waiting);
  EXPECT_EQ(sink_->stats.queued_ns, 500);
  EXPECT_EQ(sink_->stats.prefill_ns, 0);
  EXPECT_EQ(sink_->stats.decode_ns, 0);
}

TEST(EngineThreads, ManyThreadsStartAndCancelWhileThePipelineAnswers) {
  constexpr int kThreads = 4;
  constexpr int kRequests = 20;  // of each thread
  SchedulerOptions options = SmallOptions();
  options.max_queued = kThreads * kRequests;
  const SteadyClock clock;
  Engine engine(options, clock);
  const auto pipeline = std::make_shared<ScriptedPipeline>(
      engine,
      [](const std::vector<int32_t>&, int32_t index) { return std::optional(100 + index); });
  engine.Attach(pipeline, {Epoch{1}, 2, 1024});
  std::vector<std::shared_ptr<RecordingSink>> sinks(kThreads * kRequests);
  for (auto& sink : sinks) sink = std::make_shared<RecordingSink>();
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kRequests; ++i) {
        const auto& sink = sinks[static_cast<size_t>(thread * kRequests + i)];
        const auto id = engine.Start(Request(10, 5, sink));
        ASSERT_TRUE(id.ok());
        if (i % 3 == 0) engine.Cancel(*id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < sinks.size(); ++i) {
    ASSERT_TRUE(sinks[i]->WaitForFinish());
    EXPECT_EQ(sinks[i]->finishes, 1);
    if (i % kRequests % 3 == 0) continue;  // may have been cancelled at any point
    EXPECT_EQ(sinks[i]->reason, FinishReason::kLength);
    EXPECT_THAT(sinks[i]->tokens, ElementsAre(100, 101, 102, 103, 104));
  }
  engine.OnLost(Epoch{1}, Unavailable("the test is over"));  // the pipeline goes before the engine
}

}  // namespace
}  // namespace shoal
