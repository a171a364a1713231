// Proves who may be planned with: by hand-made histories of answers and losses on a fake time, and
// by the properties that only nodes that are there are used and that trust returns.
#include "coordinator/membership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <vector>

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kSecond = kNsPerS;

TEST(Membership, WhoAnswersIsTrustedAtOnceIfItWasNeverLost) {
  Membership members(3);
  EXPECT_THAT(members.Usable(0), IsEmpty());
  members.OnAnswer(2, 0);
  members.OnAnswer(0, 0);
  EXPECT_THAT(members.Usable(0), ElementsAre(0, 2));
  members.OnSilence(0);
  EXPECT_THAT(members.Usable(0), ElementsAre(2));
}

TEST(Membership, ALostNodeIsTrustedAgainAfterAWhileThatDoubles) {
  Membership members(2);
  members.OnAnswer(0, 0);
  members.OnAnswer(1, 0);
  int64_t now = 0;
  for (const int64_t wait_s : {1, 2, 4, 8}) {
    members.OnLoss(1, now);
    EXPECT_FALSE(members.present(1));
    now += 5 * kSecond;
    members.OnAnswer(1, now);
    EXPECT_TRUE(members.present(1));
    EXPECT_FALSE(members.trusted(1, now + wait_s * kSecond - 1));
    EXPECT_THAT(members.Usable(now), ElementsAre(0));
    now += wait_s * kSecond;
    members.OnAnswer(1, now);  // again: it has been there since
    EXPECT_TRUE(members.trusted(1, now));
  }
}

TEST(Membership, SilenceInQuarantineBeginsItAnewButIsNoLoss) {
  Membership members(1);
  members.OnAnswer(0, 0);
  members.OnLoss(0, 0);
  members.OnAnswer(0, kSecond / 2);
  members.OnSilence(0);
  members.OnAnswer(0, kSecond);
  EXPECT_FALSE(members.trusted(0, 2 * kSecond - 1));
  EXPECT_TRUE(members.trusted(0, 2 * kSecond));
}

TEST(Membership, LongPresenceForgives) {
  Membership members(1);
  members.OnAnswer(0, 0);
  for (int i = 0; i < 6; ++i) members.OnLoss(0, 0);
  members.OnAnswer(0, 0);
  EXPECT_FALSE(members.trusted(0, 31 * kSecond));  // 2^5 s
  members.OnLoss(0, Membership::kForgivenAfterNs);
  members.OnAnswer(0, Membership::kForgivenAfterNs);
  EXPECT_TRUE(members.trusted(0, Membership::kForgivenAfterNs + kSecond));
}

TEST(Membership, WhereNobodyIsTrustedThoseWhoAreThereMustDo) {
  Membership members(2);
  members.OnLoss(0, 0);
  members.OnAnswer(0, 0);
  EXPECT_FALSE(members.trusted(0, 0));
  EXPECT_THAT(members.Usable(0), ElementsAre(0));
}

RC_GTEST_PROP(MembershipProperty, OnlyThePresentAreUsedAndTrustReturns, ()) {
  constexpr int32_t kNodes = 4;
  Membership members(kNodes);
  int64_t now = 0;
  const auto events = *rc::gen::inRange(0, 200);
  for (int i = 0; i < events; ++i) {
    now += *rc::gen::inRange<int64_t>(0, 20 * kSecond);
    const auto node = *rc::gen::inRange(0, kNodes);
    switch (*rc::gen::inRange(0, 3)) {
      case 0: members.OnAnswer(node, now); break;
      case 1: members.OnSilence(node); break;
      default: members.OnLoss(node, now); break;
    }
    const std::vector<int32_t> usable = members.Usable(now);
    RC_ASSERT(std::is_sorted(usable.begin(), usable.end()));
    for (const int32_t used : usable) RC_ASSERT(members.present(used));
    for (int32_t n = 0; n < kNodes; ++n) {
      RC_ASSERT(!members.trusted(n, now) || members.present(n));
      RC_ASSERT(!members.present(n) || !usable.empty());
    }
  }
  for (int32_t n = 0; n < kNodes; ++n) members.OnAnswer(n, now);
  now += Membership::kMostQuarantineNs;
  RC_ASSERT(members.Usable(now).size() == static_cast<size_t>(kNodes));
}

}  // namespace
}  // namespace shoal
