#include "model/transformer/expert_routing.h"

#include <algorithm>

#include "kernels/portable_math.h"

namespace shoal {

ExpertRouting::ExpertRouting(int32_t experts, int32_t used, int32_t max_rows)
    : experts_(experts),
      used_(used),
      chosen_(Index(max_rows, 0)),
      weights_(chosen_.size()),
      slot_of_(chosen_.size()),
      next_(static_cast<size_t>(experts) + 1) {}

void ExpertRouting::Choose(int64_t row, const float* logits) {
  int32_t* chosen = chosen_.data() + Index(row, 0);
  for (int32_t rank = 0; rank < used_; ++rank) {
    int32_t best = -1;
    for (int32_t i = 0; i < experts_; ++i) {
      if (std::find(chosen, chosen + rank, i) != chosen + rank) continue;
      if (best < 0 || logits[i] > logits[best]) best = i;
    }
    chosen[rank] = best;
  }
  float* weights = weights_.data() + Index(row, 0);
  float sum = 0;
  for (int32_t rank = 0; rank < used_; ++rank) {
    weights[rank] = kernels::ExpF(logits[chosen[rank]] - logits[chosen[0]]);
    sum += weights[rank];
  }
  for (int32_t rank = 0; rank < used_; ++rank) weights[rank] /= sum;
}

void ExpertRouting::AssignSlots(int64_t rows) {
  // A counting sort by expert that leaves rows in order.
  const size_t slots = Index(rows, 0);
  std::fill(next_.begin(), next_.end(), 0);
  for (size_t i = 0; i < slots; ++i) ++next_[static_cast<size_t>(chosen_[i]) + 1];
  groups_.clear();
  for (int32_t expert = 0; expert < experts_; ++expert) {
    const auto index = static_cast<size_t>(expert);
    const int32_t count = next_[index + 1];
    if (count != 0) groups_.push_back({expert, next_[index], count});
    next_[index + 1] += next_[index];
  }
  row_of_slot_.resize(slots);
  for (size_t i = 0; i < slots; ++i) {
    const int32_t slot = next_[static_cast<size_t>(chosen_[i])]++;
    slot_of_[i] = slot;
    row_of_slot_[static_cast<size_t>(slot)] = static_cast<int32_t>(i) / used_;
  }
}

}  // namespace shoal
