#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "kernels/partial_sums.h"
#include "kernels/portable_math.h"
#include "kernels/quant_formats.h"
#include "kernels/reference.h"

namespace shoal::kernels::reference {

namespace {

using HeadVector = std::array<float, kMaxHeadDim>;
using KeyVector = std::array<float, kKvPageTokens>;

// The K or V half of one kv head in a page, in elements from the page's begin.
int64_t KeysOffset(const AttentionShape& shape, int32_t kv_head) {
  return int64_t{2} * kv_head * shape.head_dim * kKvPageTokens;
}
int64_t ValuesOffset(const AttentionShape& shape, int32_t kv_head) {
  return KeysOffset(shape, kv_head) + int64_t{shape.head_dim} * kKvPageTokens;
}

// `count` elements from the page, as floats.
void Load(KvType type, const std::byte* page, int64_t offset, int32_t count, float* to) {
  DequantizeRow(type == KvType::kF16 ? TensorType::kF16 : TensorType::kF32,
                page + offset * KvTypeBytes(type), count, to);
}

void Store(KvType type, float value, std::byte* page, int64_t offset) {
  std::byte* to = page + offset * KvTypeBytes(type);
  if (type == KvType::kF16) {
    const uint16_t half = FloatToHalf(value);
    std::memcpy(to, &half, sizeof(half));
  } else {
    std::memcpy(to, &value, sizeof(value));
  }
}

// One query head's state on its way over the pages.
struct Softmax {
  HeadVector query;   // scaled
  HeadVector output;  // not yet divided by weight_sum
  float largest = -std::numeric_limits<float>::infinity();
  float weight_sum = 0;
};

// s[j] of the first `keys` keys.
void Scores(const AttentionShape& shape, const HeadVector& query, const std::byte* page,
            int32_t kv_head, int32_t keys, KeyVector& scores) {
  const int64_t offset = KeysOffset(shape, kv_head);
  scores.fill(0);
  KeyVector row;
  for (int32_t d = 0; d < shape.head_dim; ++d) {
    Load(shape.kv_type, page, offset + int64_t{d} * kKvPageTokens, keys, row.data());
    for (int32_t j = 0; j < keys; ++j) scores[j] = std::fma(query[d], row[j], scores[j]);
  }
}

void AddPage(const AttentionShape& shape, const std::byte* page, int32_t kv_head, int32_t keys,
             Softmax& state) {
  KeyVector scores;
  Scores(shape, state.query, page, kv_head, keys, scores);
  float largest = state.largest;
  for (int32_t j = 0; j < keys; ++j) largest = scores[j] > largest ? scores[j] : largest;
  const float correction = ExpF(state.largest - largest);
  state.largest = largest;

  KeyVector weights = {};
  PartialSums partial = {};
  for (int32_t j = 0; j < keys; ++j) {
    weights[j] = ExpF(scores[j] - largest);
    partial[j % 16] += weights[j];
  }
  state.weight_sum = std::fma(state.weight_sum, correction, Combine(partial));

  const int64_t values = ValuesOffset(shape, kv_head);
  for (int32_t d = 0; d < shape.head_dim; ++d) state.output[d] *= correction;
  HeadVector row;
  for (int32_t j = 0; j < keys; ++j) {
    Load(shape.kv_type, page, values + int64_t{j} * shape.head_dim, shape.head_dim, row.data());
    for (int32_t d = 0; d < shape.head_dim; ++d) {
      state.output[d] = std::fma(weights[j], row[d], state.output[d]);
    }
  }
}

// The query at `position`, which sees keys [0, position].
void AttendOne(const AttentionShape& shape, const float* q, int64_t position,
               const std::byte* const* pages, int32_t kv_head, float* out) {
  Softmax state;
  for (int32_t d = 0; d < shape.head_dim; ++d) {
    state.query[d] = q[d] * shape.scale;
    state.output[d] = 0;
  }
  for (int64_t begin = 0; begin <= position; begin += kKvPageTokens) {
    const auto keys = static_cast<int32_t>(std::min<int64_t>(kKvPageTokens, position + 1 - begin));
    AddPage(shape, pages[begin / kKvPageTokens], kv_head, keys, state);
  }
  for (int32_t d = 0; d < shape.head_dim; ++d) out[d] = state.output[d] / state.weight_sum;
}

}  // namespace

void StoreKv(const AttentionShape& shape, const float* k, const float* v, std::byte* page,
             int32_t slot) {
  for (int32_t head = 0; head < shape.kv_heads; ++head) {
    const int64_t keys = KeysOffset(shape, head);
    const int64_t values = ValuesOffset(shape, head) + int64_t{slot} * shape.head_dim;
    for (int32_t d = 0; d < shape.head_dim; ++d) {
      const int64_t from = int64_t{head} * shape.head_dim + d;
      Store(shape.kv_type, k[from], page, keys + int64_t{d} * kKvPageTokens + slot);
      Store(shape.kv_type, v[from], page, values + d);
    }
  }
}

void Attend(const AttentionShape& shape, const float* q, int64_t tokens, int64_t first_position,
            const std::byte* const* pages, int32_t kv_head, float* out) {
  CHECK(shape.head_dim <= kMaxHeadDim, "a head that fits the fixed buffers");
  const int32_t group = shape.heads / shape.kv_heads;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int32_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
      const int64_t at = (t * shape.heads + h) * shape.head_dim;
      AttendOne(shape, q + at, first_position + t, pages, kv_head, out + at);
    }
  }
}

}  // namespace shoal::kernels::reference
