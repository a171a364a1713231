// The types that keys and values may be kept as in a session's cache, by GGUF's names, and what
// they cost. How they lie in memory is the business of kernels/kernel_table.h.
#pragma once

#include <cstdint>

#include "model/gguf/tensor_type.h"

namespace shoal {

bool IsKvType(TensorType type);

// Bytes of the keys and values of one position and layer: `kv_heads` heads of `head_dim` values
// each. In Q8_0 a head's last block of 32 may be short. REQUIRES IsKvType(type).
int64_t KvBytes(TensorType type, int64_t kv_heads, int64_t head_dim);

}  // namespace shoal
