// Where keys, values and scales lie in one kv head's part of a kQ8_0 page (kernel_table.h), and how
// they get there: the same code for every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"

namespace shoal::kernels {

// Byte offsets from the head's K, which comes first.
struct Q8Offsets {
  int64_t v;
  int64_t k_scales;
  int64_t v_scales;
};
inline Q8Offsets Q8OffsetsOf(int32_t head_dim) {
  const int64_t values = int64_t{head_dim} * kKvPageTokens;
  const auto scales = static_cast<int64_t>(sizeof(uint16_t)) * KvBlocks(head_dim) * kKvPageTokens;
  return {values, 2 * values, 2 * values + scales};
}

// KernelTable::store_kv for kQ8_0 by an instruction set's quantize_by_32.
void StoreKvQ8(decltype(KernelTable::quantize_by_32) quantize_by_32, const AttentionShape& shape,
               const float* k, const float* v, std::byte* page, int32_t slot);

}  // namespace shoal::kernels
