// Proves reference attention against a two-pass softmax in double over the same keys and values,
// f16 or f32, within a derived tolerance, which is printed; that cutting the tokens anywhere and
// whatever stands in absent slots changes no bit; and that keys and values land where the layout
// says.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
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
};

// Keys and values of `positions` tokens in pages, and queries for all of them.
class Cache {
 public:
  Cache(const Case& c, KvType kv_type, uint64_t seed)
      : shape{c.heads, c.kv_heads, c.head_dim, 0, kv_type} {
    shape.scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim));
    Random random(seed);
    std::normal_distribution<float> normal;
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
  std::vector<float> k, v, q;
  std::vector<const std::byte*> pages;

 private:
  std::vector<std::byte> bytes_;
};

// A key or value as the cache keeps it.
double Kept(KvType kv_type, float value) {
  return kv_type == KvType::kF16 ? HalfToFloat(FloatToHalf(value)) : value;
}

// One query head's softmax in double, and how far the online one in float may be from it.
struct Expected {
  std::vector<double> out;
  double tolerance = 0;
};

Expected Oracle(const Cache& cache, int64_t position, int32_t head) {
  const AttentionShape& shape = cache.shape;
  const int64_t kv_head = head / (shape.heads / shape.kv_heads);
  const float* q = cache.q.data() + (position * shape.heads + head) * shape.head_dim;
  std::vector<double> scores;
  double score_error = 0;
  for (int64_t j = 0; j <= position; ++j) {
    double score = 0;
    double terms = 0;
    for (int32_t d = 0; d < shape.head_dim; ++d) {
      const double term =
          double{q[d]} * shape.scale *
          Kept(shape.kv_type, cache.k[(j * shape.kv_heads + kv_head) * shape.head_dim + d]);
      score += term;
      terms += std::fabs(term);
    }
    scores.push_back(score);
    score_error = std::max(score_error, terms * kUnit * (shape.head_dim + 1));
  }
  const auto [low, high] = std::minmax_element(scores.begin(), scores.end());
  const double range = *high - *low;
  Expected expected;
  expected.out.resize(static_cast<size_t>(shape.head_dim));
  double weight_sum = 0;
  double largest_value = 0;
  for (int64_t j = 0; j <= position; ++j) {
    const double weight = std::exp(scores[j] - *high);
    weight_sum += weight;
    for (int32_t d = 0; d < shape.head_dim; ++d) {
      const double value =
          Kept(shape.kv_type, cache.v[(j * shape.kv_heads + kv_head) * shape.head_dim + d]);
      expected.out[d] += weight * value;
      largest_value = std::max(largest_value, std::fabs(value));
    }
  }
  for (double& value : expected.out) value /= weight_sum;
  // A weight p = e^(s - m): errors of s and m, the rounded difference, ExpF (2 roundings); for each
  // page a correction with the same errors and one more product. The weights' errors count twice,
  // in sum and in weight_sum; then one rounding per key, and the quotient.
  const auto pages = static_cast<double>(position / kKvPageTokens + 1);
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
         std::to_string(c.head_dim) + (kv_type == KvType::kF16 ? "_f16" : "_f32");
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, AttendReference,
    ::testing::Combine(::testing::Values(Case{1, 1, 16, 33}, Case{4, 4, 32, 65}, Case{9, 3, 64, 97},
                                         Case{8, 2, 80, 70}, Case{6, 1, 96, 40},
                                         Case{4, 2, 128, 100}, Case{2, 1, 256, 64},
                                         Case{1, 1, kMaxHeadDim, 3}),
                       ::testing::Values(KvType::kF16, KvType::kF32)),
    NameOf);

TEST(AttendReference, ReturnsTheOnlyValueForOneKey) {
  for (const KvType kv_type : {KvType::kF16, KvType::kF32}) {
    const Cache cache({2, 1, 16, 1}, kv_type, 16);
    std::vector<float> out(cache.q.size());
    cache.Attend(0, 1, out);
    for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], Kept(kv_type, cache.v[i % 16]));
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

}  // namespace
}  // namespace shoal::kernels
