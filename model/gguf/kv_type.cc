#include "model/gguf/kv_type.h"

namespace shoal {

bool IsKvType(TensorType type) {
  return type == TensorType::kF16 || type == TensorType::kF32 || type == TensorType::kQ8_0;
}

int64_t KvBytes(TensorType type, int64_t kv_heads, int64_t head_dim) {
  if (type != TensorType::kQ8_0) return 2 * kv_heads * RowBytes(type, head_dim);
  constexpr int64_t kBlock = 32;
  constexpr int64_t kScaleBytes = 2;
  return 2 * kv_heads * (head_dim + (head_dim + kBlock - 1) / kBlock * kScaleBytes);
}

}  // namespace shoal
