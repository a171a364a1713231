// Proves when a node lends itself: each wish alone stops it at its limit and lets it go on only
// past a margin, unknown facts stop nothing, and hours go over midnight (against a walk through the
// day).
#include "node/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"

namespace shoal {
namespace {

using testing::HasSubstr;

constexpr int64_t kMiB = int64_t{1} << 20;

class PolicyTest : public testing::Test {
 protected:
  PauseCause Next(int64_t seconds = 1) {
    now_ns_ += seconds * kNsPerS;
    decision_ = Decide(policy_, decision_, facts_, now_ns_);
    EXPECT_EQ(decision_.available(), decision_.reason.empty());
    return decision_.cause;
  }

  NodePolicy policy_;
  DeviceFacts facts_;
  PolicyDecision decision_;
  int64_t now_ns_ = 0;
};

TEST_F(PolicyTest, NothingAskedForAndNothingKnownStopsNothing) {
  EXPECT_EQ(Next(), PauseCause::kNone);
  facts_.state = {1, true, 150};
  facts_.user_active = true;
  facts_.minute_of_day = 1439;
  EXPECT_EQ(Next(), PauseCause::kNone);
  policy_ = {4096 * kMiB, 50, 60, {}, true};
  facts_ = DeviceFacts();
  EXPECT_EQ(Next(), PauseCause::kNone);
}

TEST_F(PolicyTest, TheOwnersWordCountsFirst) {
  facts_.paused = true;
  facts_.free_memory_bytes = 0;
  EXPECT_EQ(Next(), PauseCause::kByHand);
  facts_.paused = false;
  EXPECT_EQ(Next(), PauseCause::kMemory);
}

TEST_F(PolicyTest, AShortageOfMemoryStopsByDefault) {
  facts_.free_memory_bytes = NodePolicy::kLeastFreeMemoryBytes;
  EXPECT_EQ(Next(), PauseCause::kNone);
  facts_.free_memory_bytes -= 1;
  EXPECT_EQ(Next(), PauseCause::kMemory);
  EXPECT_THAT(decision_.reason, HasSubstr("127 MiB"));
  facts_.free_memory_bytes = 2 * NodePolicy::kLeastFreeMemoryBytes - 1;
  EXPECT_EQ(Next(), PauseCause::kMemory);
  facts_.free_memory_bytes += 1;
  EXPECT_EQ(Next(), PauseCause::kNone);
}

TEST_F(PolicyTest, TheBatteryCountsOnlyWhileItIsUsed) {
  policy_.battery_least_percent = 40;
  facts_.state = {39, false, -1};
  EXPECT_EQ(Next(), PauseCause::kNone);
  facts_.state = {40, true, -1};
  EXPECT_EQ(Next(), PauseCause::kNone);
  facts_.state.battery_percent = 39;
  EXPECT_EQ(Next(), PauseCause::kBattery);
  facts_.state.battery_percent = 44;
  EXPECT_EQ(Next(), PauseCause::kBattery);
  facts_.state.battery_percent = 45;
  EXPECT_EQ(Next(), PauseCause::kNone);
  policy_.battery_least_percent = 100;  // never on battery
  facts_.state.battery_percent = 99;
  EXPECT_EQ(Next(), PauseCause::kBattery);
  facts_.state.on_battery = false;
  EXPECT_EQ(Next(), PauseCause::kNone);
}

TEST_F(PolicyTest, HeatStopsUntilItIsCooler) {
  policy_.hottest_c = 80;
  facts_.state.temperature_c = 80;
  EXPECT_EQ(Next(), PauseCause::kNone);
  facts_.state.temperature_c = 80.5;
  EXPECT_EQ(Next(), PauseCause::kHeat);
  facts_.state.temperature_c = 75.5;
  EXPECT_EQ(Next(), PauseCause::kHeat);
  facts_.state.temperature_c = 75;
  EXPECT_EQ(Next(), PauseCause::kNone);
}

TEST_F(PolicyTest, TheUserMustBeGoneForAMinute) {
  policy_.pause_when_active = true;
  facts_.user_active = false;
  EXPECT_EQ(Next(), PauseCause::kNone);
  facts_.user_active = true;
  EXPECT_EQ(Next(), PauseCause::kUser);
  EXPECT_EQ(Next(100), PauseCause::kUser);
  facts_.user_active = false;
  EXPECT_EQ(Next(59), PauseCause::kUser);
  EXPECT_EQ(Next(1), PauseCause::kNone);
}

TEST_F(PolicyTest, HoursAreThoseOfAClock) {
  for (const char* text : {"22:00-07:00", "09:30-17:00", "00:00-24:00"}) {
    const Result<HourRange> range = ParseHourRange(text);
    ASSERT_TRUE(range.ok()) << range.error().message;
    policy_.hours = {*range};
    // Walks through the day from the begin, and is inside until it meets the end.
    bool inside = true;
    for (int32_t step = 0; step < HourRange::kMinutesPerDay; ++step) {
      facts_.minute_of_day = (range->begin_minute + step) % HourRange::kMinutesPerDay;
      if (step > 0 && facts_.minute_of_day == range->end_minute) inside = false;
      ASSERT_EQ(Next() == PauseCause::kNone, inside) << text << " at " << facts_.minute_of_day;
    }
  }
  for (const char* text :
       {"", "22:00", "22:00-", "22-07", "24:01-07:00", "24:00-07:00", "07:60-08:00", "9:00-10:00",
        "09:00-09:00", "+9:00-10:00", "09:00-10:000"}) {
    EXPECT_FALSE(ParseHourRange(text).ok()) << text;
  }
}

}  // namespace
}  // namespace shoal
