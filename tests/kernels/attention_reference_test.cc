// Proves reference attention against a two-pass softmax in double over the same keys and values,
// f16, f32 or q8_0, with windows, soft caps and sinks, within a derived tolerance, which is
// printed; that cutting the tokens anywhere and whatever stands in absent slots changes no bit; and
// that keys and values land where the layout says.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <iostream>
#include <tuple>

#include "kernels/quant_formats.h"
#include "kernels/reference.h"
#include "tests/kernels/random_blocks.h"

namespace shoal::kernels {
namespace {

constexpr double kUnit = 0x1p-24;  // the relative error of one rounding

struct Case {
  int32_t heads, kv_heads, head_dim;
  int64_t positions;
  int32_t window = 0;
  float softcap = 0;
  bool sinks = false;
};

// One token's keys or values [kv_heads, head_dim] as the cache keeps them.
std::vector<float> Kept(const AttentionShape& shape, std::vector<float> values) {
  if (shape.kv_type == KvType::kF16) {
    for (float& value : values) value = HalfToFloat(FloatToHalf(value));
  }
  if (shape.kv_type != KvType::kQ8_0) return values;
  for (int32_t head = 0; head < shape.kv_heads; ++head) {
    for (int32_t first = 0; first < shape.head_dim; first += kKvBlock) {
      const auto begin = values.begin() + head * shape.head_dim + first;
      const auto end = begin + std::min(kKvBlock, shape.head_dim - first);
      float largest = 0;
      for (auto x = begin; x != end; ++x) largest = std::max(largest, std::fabs(*x));
      const float scale = HalfToFloat(FloatToHalf(largest / 127));
      const float inverse = largest >= kSmallestQuantized ? 127 / largest : 0;
      for (auto x = begin; x != end; ++x) *x = scale * std::nearbyint(*x * inverse);
    }
  }
  return values;
}

// Keys and values of `positions` tokens in pages, and queries for all of them.
class Cache {
 public:
  Cache(const Case& c, KvType kv_type, uint64_t seed)
      : shape{c.heads, c.kv_heads, c.head_dim, 0, kv_type, c.window, c.softcap} {
    shape.scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim));
    Random random(seed);
    std::normal_distribution<float> normal;
    for (int32_t i = 0; i < c.heads; ++i) sinks.push_back(2 * normal(random));
    if (c.sinks) shape.sinks = sinks.data();
    const int64_t kv_count = c.positions * c.kv_heads * c.head_dim;
    for (int64_t i = 0; i < kv_count; ++i) k.push_back(2 * normal(random));
    for (int64_t i = 0; i < kv_count; ++i) v.push_back(normal(random));
    for (int64_t i = 0; i < c.positions * c.heads * c.head_dim; ++i) q.push_back(normal(random));
    const int64_t page_count = (c.positions + kKvPageTokens - 1) / kKvPageTokens;
    bytes_.resize(static_cast<size_t>(page_count * KvPageBytes(shape)));
    for (int64_t p = 0; p < page_count; ++p) pages.push_back(Page(p));
    const int64_t kv_stride = int64_t{c.kv_heads} * c.head_dim;
    for (int64_t t = 0; t < c.positions; ++t) {
      reference::StoreKv(shape, k.data() + t * kv_stride, v.data() + t * kv_stride,
                         Page(t / kKvPageTokens), static_cast<int32_t>(t % kKvPageTokens));
    }
  }

  std::byte* Page(int64_t p) { return bytes_.data() + p * KvPageBytes(shape); }

  // Attention of all heads for tokens [begin, end); rows of other tokens stay as they are.
  void Attend(int64_t begin, int64_t end, std::vector<float>& out) const {
    const int64_t stride = int64_t{shape.heads} * shape.head_dim;
    for (int32_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
      reference::Attend(shape, q.data() + begin * stride, end - begin, begin, pages.data(), kv_head,
                        out.data() + begin * stride);
    }
  }

  AttentionShape shape;
  std::vector<float> k, v, q, sinks;
  std::vector<const std::byte*> pages;

 private:
  std::vector<std::byte> bytes_;
};

// One query head's softmax in double, and how far the online one in float may be from it.
struct Expected {
  std::vector<double> out;
  double tolerance = 0;
};

Expected Oracle(const Cache& cache, int64_t position, int32_t head) {
  const AttentionShape& shape = cache.shape;
  const int64_t kv_head = head / (shape.heads / shape.kv_heads);
  const float* q = cache.q.data() + (position * shape.heads + head) * shape.head_dim;
  const int64_t kv_dim = int64_t{shape.kv_heads} * shape.head_dim;
  // Of kv_head, at position j.
  const auto kept = [&](const std::vector<float>& values, int64_t j) {
    const auto row = values.begin() + j * kv_dim;
    const std::vector<float> all = Kept(shape, {row, row + kv_dim});
    return std::vector<float>(all.begin() + kv_head * shape.head_dim,
                              all.begin() + (kv_head + 1) * shape.head_dim);
  };
  const int64_t first = shape.window == 0 ? 0 : std::max<int64_t>(0, position + 1 - shape.window);
  std::vector<double> scores;
  double score_error = 0;
  for (int64_t j = first; j <= position; ++j) {
    const std::vector<float> key = kept(cache.k, j);
    double score = 0;
    double terms = 0;
    for (int32_t d = 0; d < shape.head_dim; ++d) {
      const double term = double{q[d]} * shape.scale * key[static_cast<size_t>(d)];
      score += term;
      terms += std::fabs(term);
    }
    double error = terms * kUnit * (shape.head_dim + 1);
    if (shape.softcap != 0) {
      // The bend never widens an error; TanhF errs by 4 roundings, and three more stand around it.
      score = shape.softcap * std::tanh(score / shape.softcap);
      error += 7 * kUnit * std::fabs(score);
    }
    scores.push_back(score);
    score_error = std::max(score_error, error);
  }
  double low = *std::min_element(scores.begin(), scores.end());
  double high = *std::max_element(scores.begin(), scores.end());
  Expected expected;
  expected.out.resize(static_cast<size_t>(shape.head_dim));
  double weight_sum = 0;
  if (shape.sinks != nullptr) {
    const double sink = shape.sinks[head];
    low = std::min(low, sink);
    high = std::max(high, sink);
    weight_sum = std::exp(sink - high);
  }
  const double range = high - low;
  double largest_value = 0;
  for (int64_t j = first; j <= position; ++j) {
    const std::vector<float> values = kept(cache.v, j);
    const double weight = std::exp(scores[static_cast<size_t>(j - first)] - high);
    weight_sum += weight;
    for (size_t d = 0; d < values.size(); ++d) {
      expected.out[d] += weight * values[d];
      largest_value = std::max(largest_value, std::fabs(double{values[d]}));
    }
  }
  for (double& value : expected.out) value /= weight_sum;
  // A weight p = e^(s - m): errors of s and m, the rounded difference, ExpF (2 roundings); for each
  // page, and a sink, a correction with the same errors and one more product. The weights' errors
  // count twice, in sum and in weight_sum; then one rounding per key, and the quotient.
  const auto pages = static_cast<double>(position / kKvPageTokens + 2);
  const double weight_error = 2 * score_error + kUnit * (range + 2) * (pages + 1) + kUnit * pages;
  const double sums = kUnit * (static_cast<double>(position + 1) + 6 * pages + 1);
  expected.tolerance = largest_value * (2 * weight_error + sums) * 1.01;
  return expected;
}

class AttendReference : public ::testing::TestWithParam<std::tuple<Case, KvType>> {};

TEST_P(AttendReference, AgreesWithSoftmaxInDouble) {
  const auto& [c, kv_type] = GetParam();
  const Cache cache(c, kv_type, 11);
  std::vector<float> out(cache.q.size());
  cache.Attend(0, c.positions, out);
  double worst = 0;
  double worst_tolerance = 0;
  for (int64_t t = 0; t < c.positions; ++t) {
    for (int32_t h = 0; h < c.heads; ++h) {
      const Expected expected = Oracle(cache, t, h);
      for (int32_t d = 0; d < c.head_dim; ++d) {
        const double got = out[(t * c.heads + h) * c.head_dim + d];
        const double error = std::fabs(got - expected.out[d]);
        ASSERT_LE(error, expected.tolerance) << "token " << t << " head " << h << " value " << d
                                             << ": " << got << ", expected " << expected.out[d];
        if (error / expected.tolerance > worst) {
          worst = error / expected.tolerance;
          worst_tolerance = expected.tolerance;
        }
      }
    }
  }
  std::cout << "worst element at " << worst << " of its tolerance " << worst_tolerance << "\n";
}

TEST_P(AttendReference, GivesTheSameBitsHoweverTheTokensAreCut) {
  const auto& [c, kv_type] = GetParam();
  const Cache cache(c, kv_type, 12);
  std::vector<float> whole(cache.q.size());
  cache.Attend(0, c.positions, whole);
  Random random(13);
  for (int round = 0; round < 3; ++round) {
    std::vector<float> cut(cache.q.size());
    int64_t begin = 0;
    while (begin < c.positions) {
      const auto length = round == 0 ? 1 : static_cast<int64_t>(1 + random() % 40);
      const int64_t end = std::min(begin + length, c.positions);
      cache.Attend(begin, end, cut);
      begin = end;
    }
    EXPECT_EQ(cut, whole);
  }
}

TEST_P(AttendReference, DoesNotReadKeysThatAreNotThereYet) {
  const auto& [c, kv_type] = GetParam();
  Cache cache(c, kv_type, 14);
  const int64_t last = c.positions - 1;
  std::vector<float> before(cache.q.size());
  cache.Attend(last / 2, last, before);
  // A later token arrives, and the slots after it hold what some discarded draft left.
  const std::vector<float> junk(static_cast<size_t>(c.kv_heads * c.head_dim), 1000.0F);
  for (int64_t t = last; t < static_cast<int64_t>(cache.pages.size()) * kKvPageTokens; ++t) {
    reference::StoreKv(cache.shape, junk.data(), junk.data(), cache.Page(t / kKvPageTokens),
                       static_cast<int32_t>(t % kKvPageTokens));
  }
  std::vector<float> after(cache.q.size());
  cache.Attend(last / 2, last, after);
  EXPECT_EQ(after, before);
}

TEST_P(AttendReference, WritesOnlyTheHeadsOfItsKvHead) {
  const auto& [c, kv_type] = GetParam();
  const Cache cache(c, kv_type, 15);
  const int32_t group = c.heads / c.kv_heads;
  std::vector<float> out(cache.q.size(), -7.0F);
  reference::Attend(cache.shape, cache.q.data(), c.positions, 0, cache.pages.data(), c.kv_heads - 1,
                    out.data());
  for (size_t i = 0; i < out.size(); ++i) {
    const auto head = static_cast<int32_t>(i / static_cast<size_t>(c.head_dim)) % c.heads;
    ASSERT_EQ(out[i] == -7.0F, head / group != c.kv_heads - 1) << i;
  }
}

std::string NameOf(const ::testing::TestParamInfo<std::tuple<Case, KvType>>& info) {
  const auto& [c, kv_type] = info.param;
  return "heads" + std::to_string(c.heads) + "of" + std::to_string(c.kv_heads) + "dim" +
         std::to_string(c.head_dim) + (c.window != 0 ? "window" + std::to_string(c.window) : "") +
         (c.softcap != 0 ? "capped" : "") + (c.sinks ? "sinks" : "") + "_" + NameOf(kv_type);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, AttendReference,
    ::testing::Combine(::testing::Values(Case{1, 1, 16, 33}, Case{4, 4, 32, 65}, Case{9, 3, 64, 97},
                                         Case{8, 2, 80, 70}, Case{6, 1, 96, 40},
                                         Case{4, 2, 128, 100}, Case{2, 1, 256, 64},
                                         Case{1, 1, kMaxHeadDim, 3}, Case{4, 2, 20, 90, 8},
                                         Case{4, 2, 48, 100, 40}, Case{2, 1, 16, 40, 1},
                                         Case{4, 2, 32, 70, 0, 3.0F},
                                         Case{4, 2, 32, 70, 0, 0, true},
                                         Case{6, 2, 40, 80, 33, 50.0F, true}),
                       ::testing::ValuesIn(kAllKvTypes)),
    NameOf);

TEST(AttendReference, ReturnsTheOnlyValueForOneKey) {
  for (const KvType kv_type : kAllKvTypes) {
    const Cache cache({2, 1, 16, 1}, kv_type, 16);
    std::vector<float> out(cache.q.size());
    cache.Attend(0, 1, out);
    const std::vector<float> kept = Kept(cache.shape, cache.v);
    for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], kept[i % 16]);
  }
}

// Stores a token whose values f16 cannot hold into a page of T; keep(x) is what should stand there.
template <typename T, typename Keep>
void ExpectTransposedKeysAndPlainValues(KvType kv_type, Keep keep) {
  constexpr T kUntouched{12345};
  const AttentionShape shape = {4, 2, 16, 1.0F, kv_type};
  ASSERT_EQ(KvTypeBytes(kv_type), int64_t{sizeof(T)});
  ASSERT_EQ(KvPageBytes(shape), 2 * 2 * 16 * kKvPageTokens * int64_t{sizeof(T)});
  std::vector<T> page(2 * 2 * 16 * kKvPageTokens, kUntouched);
  std::vector<float> k(32);
  std::vector<float> v(32);
  for (int i = 0; i < 32; ++i) {
    k[i] = 1.0F + static_cast<float>(i) / 3;
    v[i] = -1.0F - static_cast<float>(i) / 3;
  }
  constexpr int32_t kSlot = 5;
  reference::StoreKv(shape, k.data(), v.data(), reinterpret_cast<std::byte*>(page.data()), kSlot);
  int written = 0;
  for (int head = 0; head < 2; ++head) {
    const int begin = head * 2 * 16 * kKvPageTokens;
    for (int d = 0; d < 16; ++d) {
      EXPECT_EQ(page[begin + d * kKvPageTokens + kSlot], keep(k[head * 16 + d]));
      EXPECT_EQ(page[begin + 16 * kKvPageTokens + kSlot * 16 + d], keep(v[head * 16 + d]));
      written += 2;
    }
  }
  EXPECT_EQ(std::count(page.begin(), page.end(), kUntouched), std::ssize(page) - written);
}

TEST(StoreKv, WritesTransposedKeysAndPlainValues) {
  ExpectTransposedKeysAndPlainValues<uint16_t>(KvType::kF16, FloatToHalf);
  ExpectTransposedKeysAndPlainValues<float>(KvType::kF32, [](float value) { return value; });
}

// 40 values: a whole block and a short one, each with its own scale.
TEST(StoreKv, WritesQuantsAndThenScalesForQ8) {
  const AttentionShape shape = {2, 2, 40, 1.0F, KvType::kQ8_0};
  constexpr int64_t kHeadBytes = 2 * kKvPageTokens * (40 + 2 * 2);
  ASSERT_EQ(KvPageBytes(shape), 2 * kHeadBytes);
  std::vector<std::byte> page(2 * kHeadBytes);
  std::vector<float> k(80, 1);
  std::vector<float> v(80, -2);
  k[40 + 32] = 127;   // head 1, second block: scale 1
  v[40 + 39] = 254;   // scale 2
  v[40 + 38] = -253;  // -126.5, to even
  constexpr int32_t kSlot = 9;
  reference::StoreKv(shape, k.data(), v.data(), page.data(), kSlot);
  const std::byte* head = page.data() + kHeadBytes;
  const auto quant = [head](int64_t at) { return static_cast<int>(static_cast<int8_t>(head[at])); };
  EXPECT_EQ(quant(31 * kKvPageTokens + kSlot), 127);
  EXPECT_EQ(quant(32 * kKvPageTokens + kSlot), 127);
  EXPECT_EQ(quant(33 * kKvPageTokens + kSlot), 1);
  const int64_t values = 40 * kKvPageTokens + kSlot * 40;
  EXPECT_EQ(quant(values + 31), -127);
  EXPECT_EQ(quant(values + 37), -1);
  EXPECT_EQ(quant(values + 38), -126);
  EXPECT_EQ(quant(values + 39), 127);
  const auto scale = [head](int64_t index) {
    uint16_t half = 0;
    std::memcpy(&half, head + 2 * 40 * kKvPageTokens + index * 2, sizeof(half));
    return HalfToFloat(half);
  };
  EXPECT_EQ(scale(0 * kKvPageTokens + kSlot), HalfToFloat(FloatToHalf(1.0F / 127)));
  EXPECT_EQ(scale(1 * kKvPageTokens + kSlot), 1.0F);
  EXPECT_EQ(scale(2 * kKvPageTokens + kSlot * 2 + 1), 2.0F);
}

}  // namespace
}  // namespace shoal::kernels
