// Proves what is known of nodes and who may be planned with: by hand-made histories on a fake time,
// by the whole table of what can happen in which state, and by random events.
#include "coordinator/membership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kSecond = kNsPerS;
constexpr MemberEvent kAllEvents[] = {
    MemberEvent::kAnswered, MemberEvent::kSilent, MemberEvent::kFailed, MemberEvent::kWatched,
    MemberEvent::kReleased, MemberEvent::kLost,   MemberEvent::kLeaves};

class Members {
 public:
  explicit Members(int32_t count) {
    for (int32_t i = 0; i < count; ++i) EXPECT_TRUE(members.Add("n" + std::to_string(i)).ok());
  }
  // What must be possible.
  void Tell(int32_t node, MemberEvent event, int64_t now = 0) {
    const Status applied = members.Apply(node, event, now);
    EXPECT_TRUE(applied.ok()) << applied.error().message;
  }
  void Lose(int32_t node, int64_t now) {
    Tell(node, MemberEvent::kWatched, now);
    Tell(node, MemberEvent::kLost, now);
  }
  Membership members;
};

TEST(Membership, WhoAnswersIsTrustedAtOnceIfItWasNeverLost) {
  Members m(3);
  EXPECT_THAT(m.members.Usable(0), IsEmpty());
  m.Tell(2, MemberEvent::kAnswered);
  m.Tell(0, MemberEvent::kAnswered);
  EXPECT_THAT(m.members.Usable(0), ElementsAre(0, 2));
  m.Tell(0, MemberEvent::kSilent);
  EXPECT_THAT(m.members.Usable(0), ElementsAre(2));
}

TEST(Membership, TrapALostNodeIsIdleAndYetNotTrustedForAWhileThatDoubles) {
  Members m(2);
  m.Tell(0, MemberEvent::kAnswered);
  m.Tell(1, MemberEvent::kAnswered);
  int64_t now = 0;
  for (const int64_t wait_s : {1, 2, 4, 8}) {
    m.Lose(1, now);
    EXPECT_EQ(m.members.state(1), MemberState::kAbsent);
    now += 5 * kSecond;
    m.Tell(1, MemberEvent::kAnswered, now);
    EXPECT_FALSE(m.members.trusted(1, now + wait_s * kSecond - 1));
    EXPECT_THAT(m.members.Usable(now), ElementsAre(0));
    now += wait_s * kSecond;
    m.Tell(1, MemberEvent::kAnswered, now);  // again: it has been there since
    EXPECT_TRUE(m.members.trusted(1, now));
  }
}

TEST(Membership, SilenceInQuarantineBeginsItAnewButIsNoLoss) {
  Members m(1);
  m.Tell(0, MemberEvent::kAnswered);
  m.Lose(0, 0);
  m.Tell(0, MemberEvent::kAnswered, kSecond / 2);
  m.Tell(0, MemberEvent::kSilent, kSecond / 2);
  m.Tell(0, MemberEvent::kAnswered, kSecond);
  EXPECT_FALSE(m.members.trusted(0, 2 * kSecond - 1));
  EXPECT_TRUE(m.members.trusted(0, 2 * kSecond));
}

TEST(Membership, LongPresenceForgives) {
  Members m(1);
  for (int i = 0; i < 6; ++i) {
    m.Tell(0, MemberEvent::kAnswered);
    m.Lose(0, 0);
  }
  m.Tell(0, MemberEvent::kAnswered);
  EXPECT_FALSE(m.members.trusted(0, 31 * kSecond));  // 2^5 s
  m.Lose(0, Membership::kForgivenAfterNs);
  m.Tell(0, MemberEvent::kAnswered, Membership::kForgivenAfterNs);
  EXPECT_TRUE(m.members.trusted(0, Membership::kForgivenAfterNs + kSecond));
}

TEST(Membership, WhereNobodyIsTrustedThoseWhoAreThereMustDo) {
  Members m(2);
  m.Tell(0, MemberEvent::kAnswered);
  m.Tell(0, MemberEvent::kFailed);
  m.Tell(0, MemberEvent::kAnswered);
  EXPECT_FALSE(m.members.trusted(0, 0));
  EXPECT_THAT(m.members.Usable(0), ElementsAre(0));
}

TEST(Membership, WhoCouldNotDoItsPartIsNotAskedAgainAtOnce) {
  Members m(2);
  m.Tell(0, MemberEvent::kAnswered);
  m.Tell(1, MemberEvent::kAnswered);
  m.Tell(0, MemberEvent::kFailed);
  m.Tell(0, MemberEvent::kAnswered);
  EXPECT_THAT(m.members.Usable(30 * kSecond), ElementsAre(1));
  EXPECT_THAT(m.members.Usable(32 * kSecond), ElementsAre(0, 1));
}

TEST(Membership, SilenceInAPlanIsSuspectThenLost) {
  Members m(2);
  for (const int32_t node : {0, 1}) {
    m.Tell(node, MemberEvent::kAnswered);
    m.Tell(node, MemberEvent::kWatched);
  }
  constexpr int64_t kLast = Membership::kLostNs;
  m.members.Heard(1, kLast);
  EXPECT_THAT(m.members.Tick(kLast), IsEmpty());
  EXPECT_EQ(m.members.state(0), MemberState::kSuspect);
  EXPECT_THAT(m.members.Usable(kLast), ElementsAre(1));
  EXPECT_THAT(m.members.Tick(kLast + 1), ElementsAre(0));
  EXPECT_EQ(m.members.state(0), MemberState::kAbsent);
  EXPECT_FALSE(m.members.watched(0));
  EXPECT_THAT(m.members.Tick(kLast + 1), IsEmpty()) << "lost twice";
}

TEST(Membership, UntilWhenNobodyCanFallSilent) {
  Members m(3);
  for (int32_t node = 0; node < 3; ++node) m.Tell(node, MemberEvent::kAnswered);
  m.Tell(0, MemberEvent::kWatched);
  m.Tell(1, MemberEvent::kWatched);  // and the third is in no plan
  m.members.Heard(0, 2 * kSecond);
  EXPECT_EQ(m.members.QuietUntilNs(), Membership::kSuspectNs);
  m.members.Tick(Membership::kSuspectNs + 1);
  EXPECT_EQ(m.members.state(1), MemberState::kSuspect);
  EXPECT_EQ(m.members.QuietUntilNs(), Membership::kLostNs);
  EXPECT_THAT(m.members.Tick(Membership::kLostNs + 1), ElementsAre(1));
  EXPECT_EQ(m.members.QuietUntilNs(), 2 * kSecond + Membership::kSuspectNs);
}

TEST(Membership, ALateHeartbeatIsForgiven) {
  Members m(1);
  m.Tell(0, MemberEvent::kAnswered);
  m.Tell(0, MemberEvent::kWatched);
  m.members.Tick(3 * kSecond / 2);
  EXPECT_EQ(m.members.state(0), MemberState::kSuspect);
  m.members.Heard(0, 3 * kSecond / 2);
  m.members.Tick(2 * kSecond);
  EXPECT_EQ(m.members.state(0), MemberState::kPresent);
  EXPECT_TRUE(m.members.trusted(0, 2 * kSecond));
}

TEST(Membership, WhoLeavesIsNotUsedAndHasNotFailed) {
  Members m(1);
  m.Tell(0, MemberEvent::kAnswered);
  m.Tell(0, MemberEvent::kWatched);
  m.Tell(0, MemberEvent::kLeaves);
  m.Tell(0, MemberEvent::kAnswered);  // it computes still
  EXPECT_EQ(m.members.state(0), MemberState::kLeaving);
  EXPECT_THAT(m.members.Usable(0), IsEmpty());
  m.Tell(0, MemberEvent::kReleased);
  EXPECT_EQ(m.members.state(0), MemberState::kAbsent);
  m.Tell(0, MemberEvent::kAnswered, kSecond);
  EXPECT_TRUE(m.members.trusted(0, kSecond));
}

TEST(Membership, NumbersAreNotUsedAgainAndNamesAre) {
  Members m(2);
  EXPECT_FALSE(m.members.Add("n1").ok());
  ASSERT_TRUE(m.members.Remove(1).ok());
  EXPECT_FALSE(m.members.Remove(1).ok());
  const Status gone = m.members.Apply(1, MemberEvent::kAnswered, 0);
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().code, ErrorCode::kNotFound);
  const Result<int32_t> again = m.members.Add("n1");
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*again, 2);
  EXPECT_THAT(m.members.all(), ElementsAre(0, 2));
}

TEST(Membership, WhatCannotHappenIsAnErrorThatNamesNodeEventAndState) {
  Members m(1);
  const Status lost = m.members.Apply(0, MemberEvent::kLost, 0);
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(lost.error().message, HasSubstr("n0"));
  EXPECT_THAT(lost.error().message, HasSubstr("'lost'"));
  EXPECT_THAT(lost.error().message, HasSubstr("absent and in no plan"));
}

void RunEvents(uint64_t seed, int64_t events) {
  std::mt19937_64 random(seed);
  const auto draw = [&](size_t below) { return static_cast<int32_t>(random() % below); };
  Membership members;
  int64_t now = 0;
  for (int64_t i = 0; i < events; ++i) {
    now += draw(8) == 0 ? draw(20'000) * kNsPerMs : draw(300) * kNsPerMs;
    const std::vector<int32_t> all = members.all();
    const int32_t what = draw(12);
    if (all.empty() || (what == 0 && all.size() < 6)) {
      RC_ASSERT(members.Add("n" + std::to_string(i)).ok());
      continue;
    }
    const int32_t node = all[static_cast<size_t>(draw(all.size()))];
    const MemberState before = members.state(node);
    const bool watched = members.watched(node);
    if (what == 1) {
      RC_ASSERT(members.Remove(node).ok());
    } else if (what == 2) {
      members.Heard(node, now);
    } else if (what == 3) {
      const int64_t quiet_until = members.QuietUntilNs();
      const std::vector<int32_t> lost = members.Tick(now);
      RC_ASSERT(now > quiet_until || lost.empty());
      for (const int32_t one : lost) RC_ASSERT(members.state(one) == MemberState::kAbsent);
    } else {
      const MemberEvent event = kAllEvents[draw(std::size(kAllEvents))];
      if (!members.Apply(node, event, now).ok()) {
        RC_ASSERT(members.state(node) == before && members.watched(node) == watched);
      } else if (event == MemberEvent::kLost || event == MemberEvent::kFailed) {
        RC_ASSERT(!members.trusted(node, now));
      }
    }
    const std::vector<int32_t> usable = members.Usable(now);
    RC_ASSERT(std::is_sorted(usable.begin(), usable.end()));
    bool present = false;
    for (const int32_t one : members.all()) {
      const MemberState state = members.state(one);
      present = present || state == MemberState::kPresent;
      RC_ASSERT(state != MemberState::kAbsent || !members.watched(one));
      RC_ASSERT(members.watched(one) ||
                (state != MemberState::kSuspect && state != MemberState::kLeaving));
      const bool used = std::binary_search(usable.begin(), usable.end(), one);
      RC_ASSERT(!used || state == MemberState::kPresent);
      RC_ASSERT(used || !members.trusted(one, now));
    }
    RC_ASSERT(present == !usable.empty());
  }
  // Whoever is there for long enough is trusted, whatever it did.
  for (const int32_t node : members.all()) {
    if (members.watched(node)) {
      RC_ASSERT(members.Apply(node, MemberEvent::kReleased, now).ok());
    }
    RC_ASSERT(members.Apply(node, MemberEvent::kAnswered, now).ok());
  }
  RC_ASSERT(members.Usable(now + Membership::kMostQuarantineNs) == members.all());
}

// 100 sequences of 1000 events.
RC_GTEST_PROP(MembershipProperty, LongSequencesOfEvents, ()) {
  RunEvents(*rc::gen::arbitrary<uint64_t>(), 1000);
}

// 100,000 sequences of up to 60.
RC_GTEST_PROP(MembershipProperty, ManySequencesOfEvents, ()) {
  std::mt19937_64 random(*rc::gen::arbitrary<uint64_t>());
  for (int i = 0; i < 1000; ++i) {
    const uint64_t seed = random();
    RunEvents(seed, 1 + static_cast<int64_t>(random() % 60));
  }
}

}  // namespace
}  // namespace shoal
