// Proves when a link counts as dead while both of its ends are there.
#include "coordinator/link_stall.h"

#include <gtest/gtest.h>

namespace shoal {
namespace {

// One step of so many bytes was sent that did not come, and both have known nothing else for so
// long.
bool StalledAfter(uint64_t ms, uint64_t bytes) {
  StageProgress sender;
  sender.sent = 8;
  sender.sent_bytes = 7000 + bytes;
  sender.since_send_ms = ms;
  StageProgress receiver;
  receiver.received = 7;
  receiver.received_bytes = 7000;
  receiver.waiting_ms = ms;
  return HasStalled(sender, receiver);
}

TEST(LinkStall, AStepThatDoesNotCome) {
  EXPECT_FALSE(StalledAfter(kStallMs, 100));
  EXPECT_TRUE(StalledAfter(kStallMs + 1, 100));
}

TEST(LinkStall, ALargeStepGetsTheTimeThatASlowLinkNeeds) {
  constexpr uint64_t kMiB = 1 << 20;
  EXPECT_FALSE(StalledAfter(kStallMs + 8 * kMiB * 8 / 1000, 8 * kMiB));  // at 1 Mbit/s
  EXPECT_TRUE(StalledAfter(kStallMs + 70'000, 8 * kMiB));
}

TEST(LinkStall, WhoWaitsForNothingOrComputesIsFine) {
  StageProgress sender;
  StageProgress receiver;
  sender.sent = receiver.received = 8;
  sender.since_send_ms = receiver.waiting_ms = 60'000;
  EXPECT_FALSE(HasStalled(sender, receiver)) << "nobody asks anything";
  sender.sent = 9;
  receiver.waiting_ms = 0;
  EXPECT_FALSE(HasStalled(sender, receiver)) << "it computes, the next step waits";
  receiver.waiting_ms = 60'000;
  sender.since_send_ms = 3;
  EXPECT_FALSE(HasStalled(sender, receiver)) << "it has only just been sent";
  sender.since_send_ms = 60'000;
  EXPECT_TRUE(HasStalled(sender, receiver));
  receiver.received = 10;
  EXPECT_FALSE(HasStalled(sender, receiver)) << "its word is the later one";
}

TEST(LinkStall, NumbersThatMakeNoSenseDoNoHarm) {
  constexpr uint64_t kMost = ~uint64_t{0};
  EXPECT_TRUE(HasStalled({0, 0, kMost, 0, 0, kMost}, {0, kMost, 0, 0, kMost, 0}));
  EXPECT_FALSE(HasStalled({0, 0, 1, kMost, 0, 5000}, {0, 0, 0, 0, 5000, 0}));
}

}  // namespace
}  // namespace shoal
