// Proves that every instruction set's attention gives the reference's bits: head sizes that do and
// do not fill registers, any number of query heads per kv head, contexts around page borders, mild
// and saturated softmax, windows, soft caps and sinks, and keys beyond the visible ones that are
// not even numbers, in pages of every type. AVX-512 runs emulated on every x86-64 CPU, and natively
// where the CPU has it.
#include <algorithm>
#include <cstring>
#include <random>
#include <tuple>

#include "kernels/quant_formats.h"
#include "kernels/reference.h"
#include "tests/kernels/random_blocks.h"
#include "tests/kernels/vector_kernels.h"

namespace shoal::kernels {
namespace {

constexpr std::byte kByteOfNan{0xff};  // in f16, in f32 and in the scales of q8_0

// Pages that hold `positions` random keys and values; every slot after them is NaN.
class Cache {
 public:
  Cache(const AttentionShape& shape, int64_t positions, float key_size, Random& random) {
    const int64_t count = (positions + kKvPageTokens - 1) / kKvPageTokens;
    bytes_.assign(static_cast<size_t>(KvPageBytes(shape) * count), kByteOfNan);
    for (int64_t p = 0; p < count; ++p) pages_.push_back(bytes_.data() + p * KvPageBytes(shape));
    for (int64_t position = 0; position < positions; ++position) {
      std::vector<float> k = RandomFloats(int64_t{shape.kv_heads} * shape.head_dim, random);
      const std::vector<float> v = RandomFloats(std::ssize(k), random);
      for (float& value : k) value *= key_size;
      reference::StoreKv(shape, k.data(), v.data(), pages_[position / kKvPageTokens],
                         static_cast<int32_t>(position % kKvPageTokens));
    }
  }
  const std::byte* const* pages() const { return pages_.data(); }

 private:
  std::vector<std::byte> bytes_;
  std::vector<std::byte*> pages_;
};

class AttentionTest : public testing::TestWithParam<std::tuple<VectorKernels, KvType>> {
 protected:
  // The shape's kv_type is the test's.
  void Compare(AttentionShape shape, int64_t first_position, int64_t tokens, float key_size,
               uint64_t seed) {
    const auto& [tested, kv_type] = GetParam();
    shape.kv_type = kv_type;
    SCOPED_TRACE("window " + std::to_string(shape.window) + ", softcap " +
                 std::to_string(shape.softcap) + ", sinks " +
                 std::to_string(shape.sinks != nullptr) + ", heads " + std::to_string(shape.heads) +
                 "/" + std::to_string(shape.kv_heads) + ", head_dim " +
                 std::to_string(shape.head_dim) + ", tokens " + std::to_string(tokens) + " at " +
                 std::to_string(first_position) + ", key size " + std::to_string(key_size) +
                 ", seed " + std::to_string(seed));
    Random random(seed);
    const Cache cache(shape, first_position + tokens, key_size, random);
    const std::vector<float> q = RandomFloats(tokens * shape.heads * shape.head_dim, random);
    std::vector<float> got(q.size() + 40, 77.0F);
    std::vector<float> expected = got;
    for (int32_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
      tested.table.attend(shape, q.data(), tokens, first_position, cache.pages(), kv_head,
                          got.data());
      reference::Attend(shape, q.data(), tokens, first_position, cache.pages(), kv_head,
                        expected.data());
      ExpectSameBits(got, expected, "out");  // other kv heads' part is as it was
    }
  }
};

TEST_P(AttentionTest, HeadSizes) {
  for (const int32_t head_dim : {1, 6, 8, 16, 20, 32, 40, 64, 72, 80, 96, 128, 200, 256, 512}) {
    Compare({6, 2, head_dim, 0.125F}, 37, 3, 1, 11);
    if (HasFatalFailure()) return;
  }
}

TEST_P(AttentionTest, QueryHeadsPerKvHead) {
  for (const int32_t group : {1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 50}) {
    Compare({group, 1, 32, 0.2F}, 33, 2, 1, 12);
    Compare({2 * group, 2, 16, 0.2F}, 70, 1, 1, 13);
    if (HasFatalFailure()) return;
  }
}

TEST_P(AttentionTest, PositionsAroundPages) {
  for (const int64_t first : {0, 1, 15, 16, 30, 31, 32, 33, 63, 64, 95}) {
    for (const int64_t tokens : {1, 2, 17, 34}) {
      Compare({3, 1, 16, 0.25F}, first, tokens, 1, 14);
      if (HasFatalFailure()) return;
    }
  }
}

// Weights that are all nearly equal, weights that underflow, scores that overflow.
TEST_P(AttentionTest, KeySizes) {
  for (const float key_size : {0.0F, 1e-6F, 0.01F, 4.0F, 60.0F, 1e5F, 1e35F}) {
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      Compare({4, 2, 20, 0.22F}, 90, 5, key_size, seed);
      Compare({4, 1, 64, 0.125F}, 140, 1, key_size, seed);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(AttentionTest, Windows) {
  for (const int32_t window : {1, 2, 8, 31, 32, 33, 70, 1000}) {
    for (const int64_t first : {0, 1, 31, 40, 96, 130}) {
      for (const int64_t tokens : {1, 34}) {
        AttentionShape shape{4, 2, 24, 0.2F};
        shape.window = window;
        Compare(shape, first, tokens, 1, 15);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(AttentionTest, SoftCaps) {
  for (const float softcap : {0.01F, 1.0F, 50.0F}) {
    for (const float key_size : {0.0F, 1e-6F, 1.0F, 60.0F, 1e30F}) {
      AttentionShape shape{7, 1, 40, 0.2F};
      shape.softcap = softcap;
      Compare(shape, 75, 3, key_size, 16);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(AttentionTest, Sinks) {
  const std::vector<float> sinks = {0, -3, 2, 200, -200, 1e30F};
  for (const float key_size : {0.0F, 1.0F, 60.0F}) {
    for (const int32_t window : {0, 8}) {
      AttentionShape shape{6, 2, 20, 0.2F};
      shape.sinks = sinks.data();
      shape.window = window;
      Compare(shape, 60, 5, key_size, 17);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(AttentionTest, RandomShapes) {
  for (uint64_t seed = 1; seed <= 25 && !HasFatalFailure(); ++seed) {
    Random random(seed);
    const auto below = [&random](uint64_t n) { return static_cast<int32_t>(random() % n); };
    const int32_t kv_heads = 1 + below(3);
    AttentionShape shape{kv_heads * (1 + below(9)), kv_heads, 1 + below(100), 0.15F};
    shape.window = below(2) == 0 ? 0 : 1 + below(80);
    shape.softcap = below(2) == 0 ? 0.0F : 5.0F;
    Compare(shape, below(150), 1 + below(24), 1, seed);
  }
}

std::string NameOf(const testing::TestParamInfo<std::tuple<VectorKernels, KvType>>& info) {
  const auto& [tested, kv_type] = info.param;
  return tested.name + "_" + NameOf(kv_type);
}

INSTANTIATE_TEST_SUITE_P(Isa, AttentionTest,
                         testing::Combine(testing::ValuesIn(AllVectorKernels()),
                                          testing::ValuesIn(kAllKvTypes)),
                         NameOf);

}  // namespace
}  // namespace shoal::kernels
