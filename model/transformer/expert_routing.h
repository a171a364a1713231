// Which experts the rows of a batch go to, and the rows of each expert together, so that its
// weights are read once for all of them.
//
// Each row's experts and their weights depend on its own logits only. A row's shares are added in
// order of rank, so its result does not depend on what else is in the batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace shoal {

// Consecutive slots that go through the same feed-forward. A slot is one row at one of its experts.
struct FfnGroup {
  int32_t ffn = 0;  // index of the feed-forward: the expert
  int32_t first_slot = 0;
  int32_t slots = 0;
};

class ExpertRouting {
 public:
  // REQUIRES 1 <= used <= experts.
  ExpertRouting(int32_t experts, int32_t used, int32_t max_rows);

  // Chooses the experts of a row: those with the largest of `logits` [experts], the lower index
  // first among equals, in that order. Their weights are the softmax over the chosen: what softmax
  // over all gives once it is normalized. Different rows may be done by different threads.
  void Choose(int64_t row, const float* logits);

  // Gives slots to rows [0, rows), all of which were chosen for.
  void AssignSlots(int64_t rows);

  // Of the rows that were given slots, in order of slots; experts without rows have no group.
  const std::vector<FfnGroup>& groups() const { return groups_; }
  int64_t slots() const { return static_cast<int64_t>(row_of_slot_.size()); }
  int64_t RowOf(int64_t slot) const { return row_of_slot_[static_cast<size_t>(slot)]; }
  int64_t SlotOf(int64_t row, int32_t rank) const { return slot_of_[Index(row, rank)]; }
  float WeightOf(int64_t row, int32_t rank) const { return weights_[Index(row, rank)]; }
  int32_t used() const { return used_; }

 private:
  size_t Index(int64_t row, int32_t rank) const { return static_cast<size_t>(row * used_ + rank); }

  int32_t experts_;
  int32_t used_;
  std::vector<int32_t> chosen_;   // [max_rows, used]
  std::vector<float> weights_;    // [max_rows, used]
  std::vector<int32_t> slot_of_;  // [max_rows, used]
  std::vector<int32_t> next_;     // [experts + 1] the next free slot of each, while slots are given
  std::vector<int32_t> row_of_slot_;
  std::vector<FfnGroup> groups_;
};

}  // namespace shoal
