// Proves that experts are chosen by their logits, lower indices first among equals, that their
// weights are the softmax over them, and that slots put each expert's rows together in order: by
// brute force over random logits.
#include "model/transformer/expert_routing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

namespace shoal {
namespace {

constexpr int32_t kExperts = 7;
constexpr int32_t kUsed = 3;

// The groups' experts and rows, slot by slot.
struct Slot {
  int32_t expert;
  int64_t row;
};
std::vector<Slot> SlotsOf(const ExpertRouting& routing) {
  std::vector<Slot> slots;
  for (const FfnGroup& group : routing.groups()) {
    EXPECT_EQ(group.first_slot, std::ssize(slots));
    EXPECT_GT(group.slots, 0);
    for (int32_t i = 0; i < group.slots; ++i) {
      slots.push_back({group.ffn, routing.RowOf(group.first_slot + i)});
    }
  }
  EXPECT_EQ(std::ssize(slots), routing.slots());
  return slots;
}

TEST(ExpertRoutingTest, AgreesWithSorting) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<float> any(-4, 4);
  ExpertRouting routing(kExperts, kUsed, 20);
  for (const int64_t rows : {20, 1, 6}) {
    std::vector<std::vector<float>> logits(static_cast<size_t>(rows));
    for (int64_t row = 0; row < rows; ++row) {
      std::vector<float>& of_row = logits[static_cast<size_t>(row)];
      // Rounded, so that some are equal.
      for (int32_t i = 0; i < kExperts; ++i) of_row.push_back(std::round(any(random)));
      routing.Choose(row, of_row.data());
    }
    routing.AssignSlots(rows);
    const std::vector<Slot> slots = SlotsOf(routing);
    EXPECT_EQ(std::ssize(slots), rows * kUsed);
    EXPECT_TRUE(std::is_sorted(slots.begin(), slots.end(), [](const Slot& a, const Slot& b) {
      return a.expert != b.expert ? a.expert < b.expert : a.row < b.row;
    }));
    for (int64_t row = 0; row < rows; ++row) {
      const std::vector<float>& of_row = logits[static_cast<size_t>(row)];
      std::vector<int32_t> order(kExperts);
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
        return of_row[static_cast<size_t>(a)] > of_row[static_cast<size_t>(b)];
      });
      double sum = 0;
      for (int32_t rank = 0; rank < kUsed; ++rank) {
        sum += std::exp(double{of_row[static_cast<size_t>(order[static_cast<size_t>(rank)])]});
      }
      for (int32_t rank = 0; rank < kUsed; ++rank) {
        const int32_t expert = order[static_cast<size_t>(rank)];
        const Slot& slot = slots[static_cast<size_t>(routing.SlotOf(row, rank))];
        EXPECT_EQ(slot.row, row);
        EXPECT_EQ(slot.expert, expert) << "row " << row << ", rank " << rank;
        EXPECT_NEAR(routing.WeightOf(row, rank),
                    std::exp(double{of_row[static_cast<size_t>(expert)]}) / sum, 1e-6);
      }
    }
  }
}

// Whatever a broken model gives, each rank has an expert of its own.
TEST(ExpertRoutingTest, ChoosesDifferentExpertsWhereLogitsAreNotNumbers) {
  ExpertRouting routing(kExperts, kExperts, 1);
  const std::vector<float> logits(kExperts, std::nanf(""));
  routing.Choose(0, logits.data());
  routing.AssignSlots(1);
  EXPECT_EQ(routing.groups().size(), size_t{kExperts});
}

}  // namespace
}  // namespace shoal
