// Proves the scheduler: random sequences of events against a plain model of what the stages see
// (scheduler_model.h), and each refusal and state by an example.
#include "coordinator/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "tests/coordinator/scheduler_model.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

rc::Gen<SchedulerCase> AnyCase() {
  return rc::gen::exec([] {
    SchedulerCase drawn;
    drawn.options.context_tokens = *rc::gen::inRange(1, 200);
    drawn.options.prefill_chunk = *rc::gen::inRange(1, 40);
    drawn.options.max_running = *rc::gen::inRange(1, 7);
    drawn.options.step_token_budget = *rc::gen::inRange(1, 60);
    drawn.options.max_queued = *rc::gen::inRange(1, 6);
    drawn.max_in_flight = *rc::gen::inRange(1, 6);
    drawn.kv_tokens = *rc::gen::inRange<int64_t>(32, 600);
    return drawn;
  });
}

rc::Gen<SchedulerEvent> AnyEvent() {
  return rc::gen::exec([] {
    SchedulerEvent event;
    event.kind = *rc::gen::weightedElement<SchedulerEvent::Kind>({{3, SchedulerEvent::kAdd},
                                                                  {6, SchedulerEvent::kStep},
                                                                  {5, SchedulerEvent::kDone},
                                                                  {1, SchedulerEvent::kRemove}});
    if (event.kind == SchedulerEvent::kAdd) {
      event.prompt_tokens = *rc::gen::inRange(1, 120);
      event.max_tokens = *rc::gen::inRange(1, 40);
      event.logits = *rc::gen::weightedElement<bool>({{5, false}, {1, true}});
    } else if (event.kind == SchedulerEvent::kRemove) {
      event.which = *rc::gen::inRange(0, 8);
    }
    return event;
  });
}

RC_GTEST_PROP(SchedulerProperty, EveryStepIsWhatTheModelAllows, ()) {
  SchedulerModel model(*AnyCase());
  for (const SchedulerEvent& event : *rc::gen::container<std::vector<SchedulerEvent>>(AnyEvent())) {
    model.Apply(event);
  }
  model.Drain();
}

// Sessions that decode for ever, as many steps in flight as may be, answered in order: none waits
// longer than the steps that were in flight when its token came back.
RC_GTEST_PROP(SchedulerProperty, DecodesAreSharedFairly, ()) {
  const auto sessions = *rc::gen::inRange<uint64_t>(1, 12);
  const auto in_flight = *rc::gen::inRange(1, 6);
  SchedulerOptions options;
  options.context_tokens = 1000;
  Scheduler scheduler(options);
  scheduler.Attach(Epoch{1}, in_flight, 32 * 1000);
  std::map<SessionId, int32_t> waiting;  // steps since the token came back; -1: not ready
  for (uint64_t id = 1; id <= sessions; ++id) {
    SessionRequest request;
    request.session = SessionId{id};
    request.prompt.assign(*rc::gen::inRange<size_t>(1, 300), 5);
    request.max_tokens = 400;
    RC_ASSERT(scheduler.Add(std::move(request)).ok());
    waiting[SessionId{id}] = -1;
  }
  std::deque<Step> steps;
  for (int round = 0; round < 300; ++round) {
    while (std::optional<Step> step = scheduler.NextStep()) {
      for (auto& [id, steps_since] : waiting) {
        if (steps_since >= 0) ++steps_since;
      }
      for (const Slice& slice : step->slices) {
        if (slice.token_count > 1 || waiting.at(slice.session) < 0) continue;
        RC_ASSERT(std::exchange(waiting.at(slice.session), -1) <= in_flight);
      }
      steps.push_back(std::move(*step));
    }
    RC_ASSERT(!steps.empty());
    for (const auto& [id, steps_since] : waiting) RC_ASSERT(steps_since <= in_flight);
    for (const Slice& slice : steps.front().slices) {
      if (slice.output != Output::kSample) continue;
      RC_ASSERT(scheduler.OnToken(slice.session, 1));
      waiting.at(slice.session) = 0;
    }
    RC_ASSERT(scheduler.OnStepDone(steps.front().id).ok());
    steps.pop_front();
  }
}

SessionRequest Request(uint64_t id, int32_t prompt_tokens, int32_t max_tokens) {
  SessionRequest request;
  request.session = SessionId{id};
  request.prompt.resize(static_cast<size_t>(prompt_tokens));
  std::iota(request.prompt.begin(), request.prompt.end(), 0);
  request.max_tokens = max_tokens;
  return request;
}

class SchedulerTest : public ::testing::Test {
 protected:
  SchedulerTest() {
    options_.context_tokens = 64;
    options_.prefill_chunk = 8;
    options_.step_token_budget = 16;
    options_.max_running = 2;
    options_.max_queued = 2;
  }

  Scheduler Attached(int32_t max_in_flight = 2, int64_t kv_tokens = 1024) const {
    Scheduler scheduler(options_);
    scheduler.Attach(Epoch{3}, max_in_flight, kv_tokens);
    return scheduler;
  }

  SchedulerOptions options_;
};

// [position, position + count) of each slice, in order.
std::vector<std::pair<int32_t, int32_t>> Ranges(const Step& step) {
  std::vector<std::pair<int32_t, int32_t>> ranges;
  for (const Slice& slice : step.slices) {
    ranges.emplace_back(slice.position, slice.position + slice.token_count);
  }
  return ranges;
}

TEST_F(SchedulerTest, RefusesAnEmptyPrompt) {
  Scheduler scheduler = Attached();
  const Status added = scheduler.Add(Request(1, 0, 4));
  ASSERT_FALSE(added.ok());
  EXPECT_EQ(added.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(added.error().message, HasSubstr("empty"));
}

TEST_F(SchedulerTest, RefusesAPromptLongerThanTheContextAndNamesBoth) {
  Scheduler scheduler = Attached();
  const Status added = scheduler.Add(Request(1, 65, 4));
  ASSERT_FALSE(added.ok());
  EXPECT_EQ(added.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(added.error().message, HasSubstr("65"));
  EXPECT_THAT(added.error().message, HasSubstr("64"));
  EXPECT_TRUE(scheduler.Add(Request(2, 64, 4)).ok());
}

TEST_F(SchedulerTest, RefusesWhatAllMemoryCannotHoldAndNamesBoth) {
  Scheduler scheduler = Attached(2, 40);  // one grant of 32
  EXPECT_TRUE(scheduler.Add(Request(1, 30, 2)).ok());
  const Status added = scheduler.Add(Request(2, 30, 3));
  ASSERT_FALSE(added.ok());
  EXPECT_EQ(added.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(added.error().message, HasSubstr("64 tokens"));
  EXPECT_THAT(added.error().message, HasSubstr("40"));
}

TEST_F(SchedulerTest, RefusesMoreThanTheQueueHolds) {
  Scheduler scheduler = Attached();
  for (uint64_t id = 1; id <= 4; ++id) ASSERT_TRUE(scheduler.Add(Request(id, 4, 4)).ok());
  EXPECT_EQ(scheduler.running(), 2);
  EXPECT_EQ(scheduler.queued(), 2);
  const Status added = scheduler.Add(Request(5, 4, 4));
  ASSERT_FALSE(added.ok());
  EXPECT_EQ(added.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(added.error().message, HasSubstr("2 requests are waiting"));
  scheduler.Remove(SessionId{1});
  EXPECT_TRUE(scheduler.Add(Request(6, 4, 4)).ok());
}

TEST_F(SchedulerTest, ALargeRequestIsNotOvertakenByASmallOne) {
  Scheduler scheduler = Attached(2, 96);
  ASSERT_TRUE(scheduler.Add(Request(1, 32, 32)).ok());
  ASSERT_TRUE(scheduler.Add(Request(2, 32, 32)).ok());  // needs 64, 32 are left
  ASSERT_TRUE(scheduler.Add(Request(3, 4, 4)).ok());    // would fit
  EXPECT_FALSE(scheduler.admitted(SessionId{2}));
  EXPECT_FALSE(scheduler.admitted(SessionId{3}));
  scheduler.Remove(SessionId{1});
  EXPECT_TRUE(scheduler.admitted(SessionId{2}));
  EXPECT_TRUE(scheduler.admitted(SessionId{3}));
}

TEST_F(SchedulerTest, CutsAPromptIntoChunksAndFillsTheBudgetWithTheNext) {
  options_.step_token_budget = 12;
  Scheduler scheduler = Attached(3);
  ASSERT_TRUE(scheduler.Add(Request(1, 10, 4)).ok());
  ASSERT_TRUE(scheduler.Add(Request(2, 20, 4)).ok());
  const auto first = scheduler.NextStep();
  ASSERT_TRUE(first.has_value());
  EXPECT_THAT(Ranges(*first), ElementsAre(std::pair(0, 8), std::pair(0, 4)));
  EXPECT_EQ(first->opens.size(), 2U);
  const auto second = scheduler.NextStep();
  ASSERT_TRUE(second.has_value());
  EXPECT_THAT(Ranges(*second), ElementsAre(std::pair(8, 10), std::pair(4, 12)));
  EXPECT_EQ(second->slices[0].output, Output::kSample);
  EXPECT_EQ(second->slices[1].output, Output::kNone);
  EXPECT_THAT(second->opens, IsEmpty());
}

TEST_F(SchedulerTest, RemovedWhileWaitingIsNeverOpened) {
  options_.max_running = 1;
  Scheduler scheduler = Attached();
  ASSERT_TRUE(scheduler.Add(Request(1, 4, 4)).ok());
  ASSERT_TRUE(scheduler.Add(Request(2, 4, 4)).ok());
  scheduler.Remove(SessionId{2});
  scheduler.Remove(SessionId{1});  // admitted, but no step has opened it
  EXPECT_FALSE(scheduler.NextStep().has_value());
  EXPECT_EQ(scheduler.kv_tokens_granted(), 0);
  scheduler.Remove(SessionId{1});  // unknown: ignored
}

TEST_F(SchedulerTest, RemovedWhilePrefillingIsClosedOnceAndSendsNoMore) {
  Scheduler scheduler = Attached();
  ASSERT_TRUE(scheduler.Add(Request(1, 30, 4)).ok());
  const auto first = scheduler.NextStep();
  ASSERT_TRUE(first.has_value());
  scheduler.Remove(SessionId{1});  // with its chunk in flight
  const auto second = scheduler.NextStep();
  ASSERT_TRUE(second.has_value());
  EXPECT_THAT(second->closes, ElementsAre(SessionId{1}));
  EXPECT_THAT(second->slices, IsEmpty());
  EXPECT_TRUE(scheduler.OnToken(SessionId{1}, 9));  // too late: ignored
  EXPECT_TRUE(scheduler.OnStepDone(first->id).ok());
  EXPECT_TRUE(scheduler.OnStepDone(second->id).ok());
  EXPECT_FALSE(scheduler.NextStep().has_value());
}

TEST_F(SchedulerTest, RemovedWithATokenReadyIsClosedAndTheTokenForgotten) {
  Scheduler scheduler = Attached();
  ASSERT_TRUE(scheduler.Add(Request(1, 4, 4)).ok());
  const auto prefill = scheduler.NextStep();
  ASSERT_TRUE(prefill.has_value());
  EXPECT_TRUE(scheduler.OnToken(SessionId{1}, 9));
  EXPECT_TRUE(scheduler.OnStepDone(prefill->id).ok());
  scheduler.Remove(SessionId{1});
  const auto close = scheduler.NextStep();
  ASSERT_TRUE(close.has_value());
  EXPECT_THAT(close->closes, ElementsAre(SessionId{1}));
  EXPECT_THAT(close->slices, IsEmpty());
}

TEST_F(SchedulerTest, EndsAtMaxTokens) {
  Scheduler scheduler = Attached();
  ASSERT_TRUE(scheduler.Add(Request(1, 4, 2)).ok());
  ASSERT_TRUE(scheduler.NextStep().has_value());
  EXPECT_TRUE(scheduler.OnToken(SessionId{1}, 9));
  const auto decode = scheduler.NextStep();
  ASSERT_TRUE(decode.has_value());
  EXPECT_THAT(Ranges(*decode), ElementsAre(std::pair(4, 5)));
  EXPECT_FALSE(scheduler.OnToken(SessionId{1}, 9));
}

TEST_F(SchedulerTest, EndsWhenTheContextIsFull) {
  options_.prefill_chunk = options_.step_token_budget = 64;
  Scheduler scheduler = Attached();
  ASSERT_TRUE(scheduler.Add(Request(1, 63, 100)).ok());
  ASSERT_TRUE(scheduler.NextStep().has_value());
  EXPECT_TRUE(scheduler.OnToken(SessionId{1}, 9));
  const auto decode = scheduler.NextStep();
  ASSERT_TRUE(decode.has_value());
  EXPECT_THAT(Ranges(*decode), ElementsAre(std::pair(63, 64)));  // the last position there is
  EXPECT_FALSE(scheduler.OnToken(SessionId{1}, 9));
}

TEST_F(SchedulerTest, ALogitsSessionAsksForAllOfThePrompt) {
  Scheduler scheduler = Attached();
  SessionRequest request = Request(1, 10, 0);
  request.logits = true;
  ASSERT_TRUE(scheduler.Add(std::move(request)).ok());
  for (const std::pair<int32_t, int32_t>& range : {std::pair(0, 8), std::pair(8, 10)}) {
    const auto step = scheduler.NextStep();
    ASSERT_TRUE(step.has_value());
    EXPECT_THAT(Ranges(*step), ElementsAre(range));
    EXPECT_EQ(step->slices[0].output, Output::kLogits);
    ASSERT_TRUE(scheduler.OnStepDone(step->id).ok());
  }
  EXPECT_FALSE(scheduler.NextStep().has_value());
}

TEST_F(SchedulerTest, TwiceAsManyChunksAreUnderWayWhileNobodyDecodes) {
  Scheduler scheduler = Attached(2);
  ASSERT_TRUE(scheduler.Add(Request(1, 8, 4)).ok());
  const auto whole = scheduler.NextStep();
  ASSERT_TRUE(scheduler.Add(Request(2, 60, 4)).ok());
  ASSERT_TRUE(scheduler.NextStep().has_value());
  EXPECT_FALSE(scheduler.NextStep().has_value());  // the first one's token may come at any time
  ASSERT_TRUE(scheduler.OnStepDone(whole->id).ok());
  scheduler.Remove(SessionId{1});
  for (int32_t chunk = 1; chunk < 4; ++chunk) ASSERT_TRUE(scheduler.NextStep().has_value());
  EXPECT_FALSE(scheduler.NextStep().has_value());
  EXPECT_EQ(scheduler.in_flight(), 4);
}

TEST_F(SchedulerTest, HandsOutNoStepWithoutAPipeline) {
  Scheduler scheduler(options_);
  EXPECT_FALSE(scheduler.NextStep().has_value());
  EXPECT_FALSE(scheduler.Add(Request(1, 4, 4)).ok());
}

TEST_F(SchedulerTest, StartsAfreshAfterResetWithTheNewEpoch) {
  Scheduler scheduler = Attached(1);
  ASSERT_TRUE(scheduler.Add(Request(1, 4, 4)).ok());
  const auto old = scheduler.NextStep();
  ASSERT_TRUE(old.has_value());
  ASSERT_TRUE(scheduler.Add(Request(2, 4, 4)).ok());
  scheduler.Remove(SessionId{1});  // its close must not reach the next pipeline
  scheduler.Reset();
  EXPECT_FALSE(scheduler.knows(SessionId{2}));
  EXPECT_EQ(scheduler.in_flight(), 0);
  EXPECT_FALSE(scheduler.NextStep().has_value());

  scheduler.Attach(Epoch{4}, 1, 64);
  EXPECT_FALSE(scheduler.NextStep().has_value());
  ASSERT_TRUE(scheduler.Add(Request(3, 4, 4)).ok());
  const auto fresh = scheduler.NextStep();
  ASSERT_TRUE(fresh.has_value());
  EXPECT_EQ(fresh->epoch, Epoch{4});
  EXPECT_GT(fresh->id, old->id);
  EXPECT_THAT(fresh->closes, IsEmpty());
  EXPECT_FALSE(scheduler.OnStepDone(old->id).ok());
}

// A stage that answers what nobody asked: while the prompt is being read, and twice.
TEST_F(SchedulerTest, IgnoresATokenThatNoStepAskedFor) {
  Scheduler scheduler = Attached(4);
  ASSERT_TRUE(scheduler.Add(Request(1, 12, 4)).ok());
  ASSERT_TRUE(scheduler.NextStep().has_value());
  EXPECT_TRUE(scheduler.OnToken(SessionId{1}, 9));
  const auto rest = scheduler.NextStep();
  ASSERT_TRUE(rest.has_value());
  EXPECT_THAT(Ranges(*rest), ElementsAre(std::pair(8, 12)));
  EXPECT_TRUE(scheduler.OnToken(SessionId{1}, 10));
  EXPECT_TRUE(scheduler.OnToken(SessionId{1}, 11));
  const auto decode = scheduler.NextStep();
  ASSERT_TRUE(decode.has_value());
  ASSERT_EQ(decode->slices.size(), 1U);
  EXPECT_THAT(decode->slices[0].tokens, ElementsAre(10));
  EXPECT_FALSE(scheduler.NextStep().has_value());
}

TEST_F(SchedulerTest, DecodesInTheOrderInWhichTokensCame) {
  options_.max_running = 3;
  Scheduler scheduler = Attached(1);
  for (const uint64_t id : {1, 2, 3}) ASSERT_TRUE(scheduler.Add(Request(id, 4, 4)).ok());
  const auto prompts = scheduler.NextStep();
  ASSERT_TRUE(prompts.has_value());
  for (const uint64_t id : {3, 1, 2}) EXPECT_TRUE(scheduler.OnToken(SessionId{id}, 9));
  ASSERT_TRUE(scheduler.OnStepDone(prompts->id).ok());
  const auto decode = scheduler.NextStep();
  ASSERT_TRUE(decode.has_value());
  std::vector<uint64_t> order;
  for (const Slice& slice : decode->slices) order.push_back(slice.session.value);
  EXPECT_THAT(order, ElementsAre(3, 1, 2));
}

TEST_F(SchedulerTest, NamesAStepThatIsNotInFlight) {
  Scheduler scheduler = Attached();
  const Status done = scheduler.OnStepDone(StepId{42});
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(done.error().message, HasSubstr("42"));
}

}  // namespace
}  // namespace shoal
