// Proves that plans take their steps in order, one plan at a time and under rising epochs; and, by
// 100,000 random sequences of events over the three state machines of a coordinator together
// (members, plans, the engine with its scheduler), that never two plans serve, none without every
// stage, and that every request ends exactly once, with the tokens of an undisturbed run if it ends
// well.
#include "coordinator/plan_lifecycle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "coordinator/membership.h"
#include "tests/coordinator/engine_recorder.h"
#include "tests/coordinator/mini_model.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;
using Kind = PlanEvent::Kind;

constexpr Kind kAllKinds[] = {Kind::kPrepared, Kind::kLinked, Kind::kAnswered, Kind::kAttached,
                              Kind::kDrain,    Kind::kFailed, Kind::kReleased};

std::vector<Placement> Stages(const std::vector<int32_t>& members) {
  std::vector<Placement> stages;
  for (const int32_t member : members) {
    const auto begin = static_cast<int32_t>(stages.size());
    stages.push_back({member, {begin, begin + 1}});
  }
  return stages;
}

// What must be possible.
PlanAction Do(PlanLifecycle& plans, PlanEvent event) {
  const Result<PlanAction> action = plans.Apply(plans.epoch(), event);
  EXPECT_TRUE(action.ok()) << action.error().message;
  return action.ok() ? *action : PlanAction::kNothing;
}

void ServeOn(PlanLifecycle& plans, const std::vector<int32_t>& members) {
  ASSERT_TRUE(plans.Propose(Stages(members), 0).ok());
  for (const Kind kind : {Kind::kPrepared, Kind::kLinked, Kind::kAnswered}) {
    for (size_t stage = 0; stage < members.size(); ++stage) {
      Do(plans, {kind, static_cast<int32_t>(stage)});
    }
  }
  Do(plans, {Kind::kAttached});
}

TEST(PlanLifecycle, ServesWhenEveryStageWasPreparedLinkedAndAnswered) {
  PlanLifecycle plans;
  const Result<Epoch> epoch = plans.Propose(Stages({4, 7}), 100);
  ASSERT_TRUE(epoch.ok());
  EXPECT_EQ(epoch->value, 100U);
  EXPECT_EQ(Do(plans, {Kind::kPrepared, 1}), PlanAction::kNothing);
  EXPECT_EQ(Do(plans, {Kind::kPrepared, 0}), PlanAction::kLink);
  EXPECT_EQ(Do(plans, {Kind::kLinked, 0}), PlanAction::kNothing);
  EXPECT_EQ(Do(plans, {Kind::kLinked, 1}), PlanAction::kVerify);
  EXPECT_EQ(Do(plans, {Kind::kAnswered, 0}), PlanAction::kNothing);
  EXPECT_EQ(Do(plans, {Kind::kAnswered, 1}), PlanAction::kAttach);
  EXPECT_EQ(plans.phase(), PlanPhase::kVerified);
  Do(plans, {Kind::kAttached});
  EXPECT_EQ(plans.phase(), PlanPhase::kServing);
  EXPECT_EQ(Do(plans, {Kind::kDrain}), PlanAction::kDetach);
  Do(plans, {Kind::kReleased});
  EXPECT_EQ(plans.phase(), PlanPhase::kNone);
}

TEST(PlanLifecycle, TrapOneStageTwiceIsNotTwoStages) {
  PlanLifecycle plans;
  ASSERT_TRUE(plans.Propose(Stages({0, 1}), 0).ok());
  Do(plans, {Kind::kPrepared, 0});
  EXPECT_FALSE(plans.Apply(plans.epoch(), {Kind::kPrepared, 0}).ok());
  EXPECT_FALSE(plans.Apply(plans.epoch(), {Kind::kPrepared, 2}).ok());
  EXPECT_FALSE(plans.Apply(plans.epoch(), {Kind::kPrepared, -1}).ok());
  EXPECT_EQ(plans.phase(), PlanPhase::kProposed);
}

TEST(PlanLifecycle, TrapAnotherEpochIsFencedOff) {
  PlanLifecycle plans;
  ServeOn(plans, {0});
  const Epoch old = plans.epoch();
  Do(plans, {Kind::kDrain});
  EXPECT_FALSE(plans.Propose(Stages({0}), 0).ok()) << "while the old one is not released";
  Do(plans, {Kind::kReleased});
  ASSERT_TRUE(plans.Propose(Stages({0}), 0).ok());
  EXPECT_GT(plans.epoch(), old);
  const Result<PlanAction> late = plans.Apply(old, {Kind::kPrepared, 0});
  ASSERT_FALSE(late.ok());
  EXPECT_THAT(late.error().message, HasSubstr("epoch 1"));
  EXPECT_THAT(late.error().message, HasSubstr("epoch 2"));
}

TEST(PlanLifecycle, AfterAProposalThatFailedTheLastGoodPlanIsTried) {
  PlanLifecycle plans;
  ServeOn(plans, {0, 1});
  EXPECT_FALSE(plans.FallBack({0, 1, 2}).has_value()) << "nothing failed";
  Do(plans, {Kind::kDrain});
  Do(plans, {Kind::kReleased});
  ASSERT_TRUE(plans.Propose(Stages({0, 1, 2}), 0).ok());
  EXPECT_EQ(Do(plans, {Kind::kFailed}), PlanAction::kTakeDown);
  Do(plans, {Kind::kReleased});
  EXPECT_FALSE(plans.FallBack({0, 2}).has_value()) << "one of its nodes is not there";
  ASSERT_TRUE(plans.FallBack({0, 1, 2}).has_value());
  ASSERT_TRUE(plans.Propose(*plans.FallBack({0, 1, 2}), 0).ok());
  Do(plans, {Kind::kFailed});
  Do(plans, {Kind::kReleased});
  EXPECT_FALSE(plans.FallBack({0, 1, 2}).has_value()) << "it has failed, too";
}

// A coordinator without its I/O: what Mesh does, with all that it waits for drawn at random.
class World {
 public:
  explicit World(uint64_t seed) : random_(seed) {
    for (int i = 0; i < 4; ++i) Add();
  }

  void Step() {
    clock_.AdvanceNs(Draw(700) * kNsPerMs);
    switch (Draw(16)) {
      case 0: return Ask();
      case 1: return Start();
      case 2: return CancelOne();
      case 3: return Lose();
      case 4: return Stray();
      case 5: return Draw(8) == 0 ? Add() : Ask();
      case 6: return Draw(8) == 0 ? RemoveOne() : Ask();
      case 7: return Leave();
      case 8: return Tick();
      default: return Draw(2) == 0 ? Plan() : Answer();
    }
  }

  void Check() {
    const bool ready = engine_.status().state == EngineState::kReady;
    RC_ASSERT(ready == (plans_.phase() == PlanPhase::kServing));
    RC_ASSERT(attached_ <= 1);
    if (ready) {
      RC_ASSERT(answered_.size() == plans_.stages().size());
      RC_ASSERT(model_epoch_ == plans_.epoch());
    }
    RC_ASSERT(plans_.epoch() >= highest_);
    highest_ = plans_.epoch();
    for (const auto& [asked, sink] : requests_) {
      RC_ASSERT(sink->finishes <= 1);
      RC_ASSERT(sink->calls_after_end == 0);
    }
  }

  // Whatever still runs ends, and nothing has ended twice or wrongly.
  void Finish() {
    if (plans_.phase() == PlanPhase::kServing) {
      while (Answers()) {
      }
      End(Kind::kDrain);
    }
    engine_.GiveUp(Cancelled("the coordinator is shutting down"));
    for (const auto& [asked, sink] : requests_) {
      RC_ASSERT(sink->finishes == 1);
      if (sink->reason == FinishReason::kLength || sink->reason == FinishReason::kEndToken) {
        RC_ASSERT(sink->tokens == MiniModel::TokensOf(asked));
      }
    }
    RC_ASSERT(engine_.status().queued + engine_.status().running == 0);
  }
  size_t ended_well() const {
    return static_cast<size_t>(
        std::count_if(requests_.begin(), requests_.end(),
                      [](const auto& request) { return !request.second->error.has_value(); }));
  }

 private:
  int32_t Draw(size_t below) { return static_cast<int32_t>(random_() % below); }
  template <typename T>
  T Any(const std::vector<T>& of) {
    return of[static_cast<size_t>(Draw(of.size()))];
  }
  void Add() { RC_ASSERT(members_.Add("n" + std::to_string(++names_)).ok()); }
  void Ask() {
    for (const int32_t member : members_.all()) {
      if (members_.watched(member)) continue;
      const auto event = Draw(4) == 0 ? MemberEvent::kSilent : MemberEvent::kAnswered;
      RC_ASSERT(members_.Apply(member, event, clock_.NowNs()).ok());
    }
  }
  void Start() {
    const MiniModel::Asked asked{1 + Draw(40), 1 + Draw(24), static_cast<uint64_t>(Draw(9))};
    auto sink = std::make_shared<RecordingSink>();
    GenerationRequest request = Request(asked.prompt_tokens, asked.max_tokens, sink);
    request.sampling.seed = asked.seed;
    const Result<SessionId> id = engine_.Start(std::move(request));
    if (!id.ok()) {
      RC_ASSERT(sink->finishes == 0);
      return;
    }
    sessions_.push_back(*id);
    requests_.emplace_back(asked, sink);
  }
  void CancelOne() {
    if (!sessions_.empty() && Draw(4) == 0) engine_.Cancel(Any(sessions_));
  }
  // Events that nobody waits for: errors, without effect.
  void Stray() {
    StrayOfThisPlan();
    StrayOfAMember();
    const Epoch epoch{plans_.epoch().value - static_cast<uint64_t>(Draw(2) + 1)};
    RC_ASSERT(!plans_.Apply(epoch, {kAllKinds[Draw(std::size(kAllKinds))], Draw(4)}).ok());
    if (plans_.phase() != PlanPhase::kNone) {
      RC_ASSERT(!plans_.Propose(Stages({0}), 0).ok());
    }
  }
  void StrayOfThisPlan() {
    const PlanPhase phase = plans_.phase();
    const Kind kind = kAllKinds[Draw(std::size(kAllKinds))];
    const bool of_a_stage =
        kind == Kind::kPrepared || kind == Kind::kLinked || kind == Kind::kAnswered;
    const auto stages = static_cast<int32_t>(plans_.stages().size());
    const bool no_such_stage = Draw(2) == 0;
    if (CanHappen(phase, kind) && !(of_a_stage && no_such_stage)) return;
    const int32_t stage = no_such_stage ? stages + Draw(3) : Draw(4);
    RC_ASSERT(!plans_.Apply(plans_.epoch(), {kind, stage}).ok());
    RC_ASSERT(plans_.phase() == phase);
  }
  // As plan_lifecycle.h draws it.
  static bool CanHappen(PlanPhase phase, Kind kind) {
    switch (kind) {
      case Kind::kPrepared: return phase == PlanPhase::kProposed;
      case Kind::kLinked: return phase == PlanPhase::kPrepared;
      case Kind::kAnswered: return phase == PlanPhase::kLinked;
      case Kind::kAttached: return phase == PlanPhase::kVerified;
      case Kind::kDrain: return phase == PlanPhase::kServing;
      case Kind::kFailed: return phase != PlanPhase::kNone && phase != PlanPhase::kDraining;
      case Kind::kReleased: return phase == PlanPhase::kDraining;
    }
    return true;
  }
  void StrayOfAMember() {
    using Event = MemberEvent;
    const int32_t member = Any(members_.all());
    const MemberState state = members_.state(member);
    const bool watched = members_.watched(member);
    const Event event = watched ? Any<Event>({Event::kSilent, Event::kFailed, Event::kWatched})
                                : Any<Event>({Event::kReleased, Event::kLost, Event::kLeaves});
    RC_ASSERT(!members_.Apply(member, event, clock_.NowNs()).ok());
    RC_ASSERT(members_.state(member) == state && members_.watched(member) == watched);
    RC_ASSERT(!members_.Apply(1000, event, clock_.NowNs()).ok());
  }
  // What Mesh does next.
  void Plan() {
    switch (plans_.phase()) {
      case PlanPhase::kNone: return Propose();
      case PlanPhase::kProposed: return Advance(Kind::kPrepared);
      case PlanPhase::kPrepared:
        for (const Placement& stage : plans_.stages()) Watch(stage.device);
        return Advance(Kind::kLinked);
      case PlanPhase::kLinked: return Advance(Kind::kAnswered);
      case PlanPhase::kVerified: return Attach();
      default: return;
    }
  }
  void Propose() {
    std::vector<int32_t> usable = members_.Usable(clock_.NowNs());
    if (usable.empty()) return;
    answered_.clear();
    const auto good = plans_.FallBack(usable);
    if (good) {
      for (const Placement& stage : *good) RC_ASSERT(members_.knows(stage.device));
    }
    RC_ASSERT(plans_.Propose(good ? *good : Stages(usable), 0).ok());
  }
  void Watch(int32_t member) {
    if (!members_.knows(member) || members_.watched(member)) return;
    static_cast<void>(members_.Apply(member, MemberEvent::kWatched, clock_.NowNs()));
  }
  void Advance(Kind kind) {
    if (Draw(12) == 0) return End(Kind::kFailed);
    const PlanPhase phase = plans_.phase();
    for (int32_t tries = Draw(16); tries >= 0 && plans_.phase() == phase; --tries) {
      const int32_t stage = Draw(plans_.stages().size());
      const Result<PlanAction> action = plans_.Apply(plans_.epoch(), {kind, stage});
      if (action.ok() && kind == Kind::kAnswered) answered_.insert(stage);
    }
  }
  void Attach() {
    pipeline_ = std::make_shared<RecordingPipeline>();
    model_ = MiniModel();
    model_epoch_ = plans_.epoch();
    engine_.Attach(pipeline_, {model_epoch_, 3, 160, true});
    RC_ASSERT(plans_.Apply(plans_.epoch(), {Kind::kAttached}).ok());
    ++attached_;
  }
  bool Answers() {
    if (pipeline_ == nullptr || pipeline_->steps.empty()) return false;
    const shoal::Step step = std::move(pipeline_->steps.front());
    pipeline_->steps.pop_front();
    engine_.OnResult(model_.Run(step));
    return true;
  }
  void Answer() {
    for (int i = Draw(4); i >= 0; --i) Answers();
    for (const int32_t member : members_.all()) members_.Heard(member, clock_.NowNs());
  }
  void End(Kind kind) {
    const Result<PlanAction> action = plans_.Apply(plans_.epoch(), {kind});
    RC_ASSERT(action.ok());
    if (*action == PlanAction::kDetach) {
      engine_.OnLost(plans_.epoch(), Unavailable("node b is gone"));
      --attached_;
      // Late results of the old plan change nothing.
      if (Draw(2) == 0) Answers();
    }
    for (const int32_t member : members_.all()) {
      if (!members_.watched(member)) continue;
      RC_ASSERT(members_.Apply(member, MemberEvent::kReleased, clock_.NowNs()).ok());
    }
    pipeline_.reset();
    RC_ASSERT(plans_.Apply(plans_.epoch(), {Kind::kReleased}).ok());
  }
  bool CanEnd() const { return plans_.phase() != PlanPhase::kNone; }
  void Lose() {
    if (!CanEnd() || Draw(6) != 0) return;
    const int32_t member = Any(plans_.stages()).device;
    if (members_.knows(member) && members_.watched(member)) {
      RC_ASSERT(members_.Apply(member, MemberEvent::kLost, clock_.NowNs()).ok());
    }
    End(Kind::kFailed);
    if (Draw(20) == 0) engine_.GiveUp(Unavailable("nobody is left"));
  }
  void Leave() {
    if (plans_.phase() != PlanPhase::kServing || Draw(4) != 0) return;
    const int32_t member = Any(plans_.stages()).device;
    if (!members_.knows(member) || !members_.watched(member)) return;
    RC_ASSERT(members_.Apply(member, MemberEvent::kLeaves, clock_.NowNs()).ok());
    End(Kind::kDrain);
    RC_ASSERT(members_.state(member) == MemberState::kAbsent);
  }
  void RemoveOne() {
    const std::vector<int32_t> all = members_.all();
    if (all.size() < 2) return;
    const int32_t member = Any(all);
    const bool used = members_.watched(member);
    RC_ASSERT(members_.Remove(member).ok());
    if (used && CanEnd()) End(plans_.phase() == PlanPhase::kServing ? Kind::kDrain : Kind::kFailed);
  }
  void Tick() {
    if (!members_.Tick(clock_.NowNs()).empty() && CanEnd()) End(Kind::kFailed);
  }

  std::mt19937_64 random_;
  FakeClock clock_;
  Membership members_;
  PlanLifecycle plans_;
  Engine engine_{SmallOptions(), clock_};
  std::shared_ptr<RecordingPipeline> pipeline_;
  MiniModel model_;
  Epoch model_epoch_;
  Epoch highest_;
  std::set<int32_t> answered_;  // stages of the plan that is coming up
  int attached_ = 0;
  int names_ = 0;
  std::vector<SessionId> sessions_;
  std::vector<std::pair<MiniModel::Asked, std::shared_ptr<RecordingSink>>> requests_;
};

// How many requests ended well.
size_t RunEvents(uint64_t seed, int64_t events) {
  World world(seed);
  for (int64_t i = 0; i < events; ++i) {
    world.Step();
    world.Check();
  }
  world.Finish();
  return world.ended_well();
}

// 100 sequences of 1000 events.
RC_GTEST_PROP(CoordinatorProperty, LongSequencesOfEvents, ()) {
  const size_t ended_well = RunEvents(*rc::gen::arbitrary<uint64_t>(), 1000);
  RC_CLASSIFY(ended_well > 2, "several requests ended well");
}

// 100,000 sequences of up to 60.
RC_GTEST_PROP(CoordinatorProperty, ManySequencesOfEvents, ()) {
  std::mt19937_64 random(*rc::gen::arbitrary<uint64_t>());
  for (int i = 0; i < 1000; ++i) {
    const uint64_t seed = random();
    RunEvents(seed, 1 + static_cast<int64_t>(random() % 60));
  }
}

}  // namespace
}  // namespace shoal
