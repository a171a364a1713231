#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "kernels/kv_page.h"
#include "kernels/partial_sums.h"
#include "kernels/portable_math.h"
#include "kernels/quant_formats.h"
#include "kernels/reference.h"

namespace shoal::kernels::reference {

namespace {

using HeadVector = std::array<float, kMaxHeadDim>;
using KeyVector = std::array<float, kKvPageTokens>;

// One kv head's part of a page.
const std::byte* HeadPage(const AttentionShape& shape, const std::byte* page, int32_t kv_head) {
  return page + kv_head * KvHeadPageBytes(shape);
}

float HalfAt(const std::byte* from, int64_t index) {
  uint16_t half = 0;
  std::memcpy(&half, from + index * static_cast<int64_t>(sizeof(half)), sizeof(half));
  return HalfToFloat(half);
}

// The key or value at `index` of an array of a page that is not kQ8_0.
float ValueAt(KvType type, const std::byte* from, int64_t index) {
  if (type == KvType::kF16) return HalfAt(from, index);
  float value = 0;
  std::memcpy(&value, from + index * static_cast<int64_t>(sizeof(value)), sizeof(value));
  return value;
}

// Dimension d of the key in slot j.
float Key(const AttentionShape& shape, const std::byte* head_page, int32_t d, int32_t j) {
  const int64_t at = int64_t{d} * kKvPageTokens + j;
  if (shape.kv_type != KvType::kQ8_0) return ValueAt(shape.kv_type, head_page, at);
  const std::byte* scales = head_page + Q8OffsetsOf(shape.head_dim).k_scales;
  return HalfAt(scales, d / kKvBlock * kKvPageTokens + j) *
         static_cast<float>(static_cast<int8_t>(head_page[at]));
}

// Dimension d of the value in slot j.
float Value(const AttentionShape& shape, const std::byte* head_page, int32_t d, int32_t j) {
  const int64_t at = int64_t{kKvPageTokens} * shape.head_dim + int64_t{j} * shape.head_dim + d;
  if (shape.kv_type != KvType::kQ8_0) return ValueAt(shape.kv_type, head_page, at);
  const std::byte* scales = head_page + Q8OffsetsOf(shape.head_dim).v_scales;
  return HalfAt(scales, int64_t{j} * KvBlocks(shape.head_dim) + d / kKvBlock) *
         static_cast<float>(static_cast<int8_t>(head_page[at]));
}

void Store(KvType type, float value, std::byte* to, int64_t index) {
  if (type == KvType::kF16) {
    const uint16_t half = FloatToHalf(value);
    std::memcpy(to + index * static_cast<int64_t>(sizeof(half)), &half, sizeof(half));
  } else {
    std::memcpy(to + index * static_cast<int64_t>(sizeof(value)), &value, sizeof(value));
  }
}

// The keys [begin, end) of a page.
struct Keys {
  int32_t begin;
  int32_t end;
};

// One query head's state on its way over the pages.
struct Softmax {
  HeadVector query;   // scaled
  HeadVector output;  // not yet divided by weight_sum
  float largest = -std::numeric_limits<float>::infinity();
  float weight_sum = 0;
};

// s[j] of the visible keys.
void Scores(const AttentionShape& shape, const HeadVector& query, const std::byte* head_page,
            Keys keys, KeyVector& scores) {
  scores.fill(0);
  for (int32_t d = 0; d < shape.head_dim; ++d) {
    for (int32_t j = keys.begin; j < keys.end; ++j) {
      scores[j] = std::fma(query[d], Key(shape, head_page, d, j), scores[j]);
    }
  }
  if (shape.softcap == 0) return;
  const float inverse = 1.0F / shape.softcap;
  for (int32_t j = keys.begin; j < keys.end; ++j) {
    scores[j] = TanhF(scores[j] * inverse) * shape.softcap;
  }
}

void AddPage(const AttentionShape& shape, const std::byte* head_page, Keys keys, Softmax& state) {
  KeyVector scores;
  Scores(shape, state.query, head_page, keys, scores);
  float largest = state.largest;
  for (int32_t j = keys.begin; j < keys.end; ++j) {
    largest = scores[j] > largest ? scores[j] : largest;
  }
  const float correction = ExpF(state.largest - largest);
  state.largest = largest;

  KeyVector weights = {};
  PartialSums partial = {};
  for (int32_t j = keys.begin; j < keys.end; ++j) {
    weights[j] = ExpF(scores[j] - largest);
    partial[j % 16] += weights[j];
  }
  state.weight_sum = std::fma(state.weight_sum, correction, Combine(partial));

  for (int32_t d = 0; d < shape.head_dim; ++d) {
    state.output[d] *= correction;
    for (int32_t j = keys.begin; j < keys.end; ++j) {
      state.output[d] = std::fma(weights[j], Value(shape, head_page, d, j), state.output[d]);
    }
  }
}

void AddSink(const AttentionShape& shape, float sink, Softmax& state) {
  const float largest = sink > state.largest ? sink : state.largest;
  const float correction = ExpF(state.largest - largest);
  state.weight_sum = std::fma(state.weight_sum, correction, ExpF(sink - largest));
  for (int32_t d = 0; d < shape.head_dim; ++d) state.output[d] *= correction;
}

// Query head `head` at `position`.
void AttendOne(const AttentionShape& shape, const float* q, int64_t position,
               const std::byte* const* pages, int32_t head, float* out) {
  const int32_t kv_head = head / (shape.heads / shape.kv_heads);
  Softmax state;
  for (int32_t d = 0; d < shape.head_dim; ++d) {
    state.query[d] = q[d] * shape.scale;
    state.output[d] = 0;
  }
  const int64_t first = shape.window == 0 ? 0 : std::max<int64_t>(0, position + 1 - shape.window);
  for (int64_t page = first / kKvPageTokens; page * kKvPageTokens <= position; ++page) {
    const int64_t at = page * kKvPageTokens;
    const Keys keys = {static_cast<int32_t>(std::max<int64_t>(0, first - at)),
                       static_cast<int32_t>(std::min<int64_t>(kKvPageTokens, position + 1 - at))};
    AddPage(shape, HeadPage(shape, pages[page], kv_head), keys, state);
  }
  if (shape.sinks != nullptr) AddSink(shape, shape.sinks[head], state);
  for (int32_t d = 0; d < shape.head_dim; ++d) out[d] = state.output[d] / state.weight_sum;
}

}  // namespace

void StoreKv(const AttentionShape& shape, const float* k, const float* v, std::byte* page,
             int32_t slot) {
  if (shape.kv_type == KvType::kQ8_0) return StoreKvQ8(QuantizeBy32, shape, k, v, page, slot);
  for (int32_t head = 0; head < shape.kv_heads; ++head) {
    const int64_t values = int64_t{kKvPageTokens + slot} * shape.head_dim;
    for (int32_t d = 0; d < shape.head_dim; ++d) {
      const int64_t from = int64_t{head} * shape.head_dim + d;
      Store(shape.kv_type, k[from], page, int64_t{d} * kKvPageTokens + slot);
      Store(shape.kv_type, v[from], page, values + d);
    }
    page += KvHeadPageBytes(shape);
  }
}

void Attend(const AttentionShape& shape, const float* q, int64_t tokens, int64_t first_position,
            const std::byte* const* pages, int32_t kv_head, float* out) {
  CHECK(shape.head_dim <= kMaxHeadDim, "a head that fits the fixed buffers");
  const int32_t group = shape.heads / shape.kv_heads;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int32_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
      const int64_t at = (t * shape.heads + h) * shape.head_dim;
      AttendOne(shape, q + at, first_position + t, pages, h, out + at);
    }
  }
}

}  // namespace shoal::kernels::reference
