// The order in which a spread sum is added up, for scalar code: see kernels/kernel_table.h.
#pragma once

#include <array>

namespace shoal::kernels {

// partial[i % 16] takes element i, in order.
using PartialSums = std::array<float, 16>;

inline float Combine(const PartialSums& partial) {
  PartialSums sums = partial;
  for (int width = 8; width > 0; width /= 2) {
    for (int j = 0; j < width; ++j) sums[j] += sums[j + width];
  }
  return sums[0];
}

}  // namespace shoal::kernels
