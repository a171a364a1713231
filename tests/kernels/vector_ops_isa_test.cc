// Proves that every instruction set's quantization, norms, sums, activations, RoPE and KV writes
// give the reference's bits: all sizes around a register, random and extreme values, nothing
// written past the end. AVX-512 runs emulated on every x86-64 CPU, and natively where the CPU has
// it.
#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <limits>
#include <random>

#include "kernels/reference.h"
#include "tests/kernels/random_blocks.h"
#include "tests/kernels/vector_kernels.h"

namespace shoal::kernels {
namespace {

constexpr uint64_t kSeeds = 6;
constexpr int64_t kGuard = 40;  // elements after an output that must stay as they are

// Sizes around one and two registers of any instruction set, and two of models.
constexpr std::array<int64_t, 16> kSizes = {1,  2,  7,  8,  9,  15, 16,  17,
                                            24, 31, 32, 33, 47, 64, 576, 1003};

// Any finite float, each exponent as likely as another: subnormal, tiny, huge, both zeros.
float AnyFinite(Random& random) {
  const uint32_t bits = static_cast<uint32_t>(random());
  if (random() % 16 == 0) return bits & 1 ? 0.0F : -0.0F;
  const float value = std::bit_cast<float>(bits);
  return std::isfinite(value) ? value : 0x1.fffffep127F;
}

// x[i] = k + 1/2 and a largest value of 127: every rounding is a tie.
std::vector<float> Ties(int64_t count, Random& random) {
  std::vector<float> x(static_cast<size_t>(count));
  for (float& value : x) {
    value = static_cast<float>(static_cast<int64_t>(random() % 253) - 126) + 0.5F;
  }
  for (size_t i = 0; i < x.size(); i += 32) x[i + random() % 32] = 127;
  return x;
}

enum class Kind { kUsual, kAnyFinite, kOfExp, kTies, kNotFinite };

// kTies needs whole blocks of 32.
std::vector<float> Values(Kind kind, int64_t count, Random& random) {
  if (kind == Kind::kTies) return Ties(count, random);
  std::vector<float> x = RandomFloats(count, random);
  std::uniform_real_distribution<float> around_limits_of_exp(-110, 110);
  for (float& value : x) {
    if (kind == Kind::kAnyFinite) value = AnyFinite(random);
    if (kind == Kind::kOfExp) value = around_limits_of_exp(random);
    if (kind == Kind::kNotFinite && random() % 16 == 0) {
      constexpr float kInfinity = std::numeric_limits<float>::infinity();
      const std::array<float, 3> odd = {kInfinity, -kInfinity, std::nanf("")};
      value = odd[random() % 3];
    }
  }
  return x;
}

template <typename T>
std::vector<T> Output(int64_t count) {
  return std::vector<T>(static_cast<size_t>(count + kGuard), T{77});
}

class VectorOpsTest : public testing::TestWithParam<VectorKernels> {
 protected:
  const KernelTable& table() const { return GetParam().table; }
  const KernelTable& reference() const { return TableFor(Isa::kReference); }

  // body(kind, random) for every kind in `kinds` and several seeds.
  void ForKindsAndSeeds(const std::vector<Kind>& kinds,
                        const std::function<void(Kind, Random&)>& body) {
    for (const Kind kind : kinds) {
      for (uint64_t seed = 1; seed <= kSeeds && !HasFatalFailure(); ++seed) {
        SCOPED_TRACE("kind " + std::to_string(static_cast<int>(kind)) + ", seed " +
                     std::to_string(seed));
        Random random(seed);
        body(kind, random);
      }
    }
  }
};

struct By32 {
  std::vector<int8_t> values;
  std::vector<float> scales;
  std::vector<int32_t> sums;
  std::vector<float> scaled_sums;

  By32(const KernelTable& table, const std::vector<float>& x)
      : values(Output<int8_t>(std::ssize(x))),
        scales(Output<float>(std::ssize(x) / 32)),
        sums(Output<int32_t>(std::ssize(x) / 32)),
        scaled_sums(Output<float>(std::ssize(x) / 32)) {
    table.quantize_by_32(x.data(), std::ssize(x), values.data(), scales.data(), sums.data(),
                         scaled_sums.data());
  }
};

struct By256 {
  std::vector<int8_t> values;
  std::vector<float> scales;
  std::vector<int32_t> sums;
  std::vector<int16_t> sums16;

  By256(const KernelTable& table, const std::vector<float>& x)
      : values(Output<int8_t>(std::ssize(x))),
        scales(Output<float>(std::ssize(x) / 256)),
        sums(Output<int32_t>(std::ssize(x) / 32)),
        sums16(Output<int16_t>(std::ssize(x) / 16)) {
    table.quantize_by_256(x.data(), std::ssize(x), values.data(), scales.data(), sums.data(),
                          sums16.data());
  }
};

const std::vector<Kind> kQuantizeKinds = {Kind::kUsual, Kind::kAnyFinite, Kind::kTies,
                                          Kind::kNotFinite};

TEST_P(VectorOpsTest, QuantizeBy32) {
  ForKindsAndSeeds(kQuantizeKinds, [this](Kind kind, Random& random) {
    for (const int64_t blocks : {1, 2, 3, 18}) {
      const std::vector<float> x = Values(kind, blocks * 32, random);
      const By32 got(table(), x);
      const By32 expected(reference(), x);
      ExpectSameBits(got.values, expected.values, "values");
      ExpectSameBits(got.scales, expected.scales, "scales");
      ExpectSameBits(got.sums, expected.sums, "sums");
      ExpectSameBits(got.scaled_sums, expected.scaled_sums, "scaled_sums");
    }
  });
}

TEST_P(VectorOpsTest, QuantizeBy256) {
  ForKindsAndSeeds(kQuantizeKinds, [this](Kind kind, Random& random) {
    for (const int64_t blocks : {1, 2, 7}) {
      const std::vector<float> x = Values(kind, blocks * 256, random);
      const By256 got(table(), x);
      const By256 expected(reference(), x);
      ExpectSameBits(got.values, expected.values, "values");
      ExpectSameBits(got.scales, expected.scales, "scales");
      ExpectSameBits(got.sums, expected.sums, "sums");
      ExpectSameBits(got.sums16, expected.sums16, "sums16");
    }
  });
}

TEST_P(VectorOpsTest, RmsNorm) {
  ForKindsAndSeeds({Kind::kUsual, Kind::kAnyFinite}, [this](Kind kind, Random& random) {
    for (const int64_t n : kSizes) {
      SCOPED_TRACE(n);
      const std::vector<float> x = Values(kind, n, random);
      const std::vector<float> weight = Values(kind, n, random);
      std::vector<float> got = Output<float>(n);
      std::vector<float> expected = got;
      table().rms_norm(x.data(), weight.data(), n, 1e-5F, got.data());
      reference().rms_norm(x.data(), weight.data(), n, 1e-5F, expected.data());
      ExpectSameBits(got, expected, "out");
      std::vector<float> in_place = x;
      table().rms_norm(in_place.data(), weight.data(), n, 1e-5F, in_place.data());
      expected.resize(x.size());
      ExpectSameBits(in_place, expected, "in place");
    }
  });
}

TEST_P(VectorOpsTest, LayerNorm) {
  ForKindsAndSeeds({Kind::kUsual, Kind::kAnyFinite}, [this](Kind kind, Random& random) {
    for (const int64_t n : kSizes) {
      SCOPED_TRACE(n);
      const std::vector<float> x = Values(kind, n, random);
      const std::vector<float> weight = Values(kind, n, random);
      const std::vector<float> bias = Values(kind, n, random);
      std::vector<float> got = Output<float>(n);
      std::vector<float> expected = got;
      table().layer_norm(x.data(), weight.data(), bias.data(), n, 1e-5F, got.data());
      reference().layer_norm(x.data(), weight.data(), bias.data(), n, 1e-5F, expected.data());
      ExpectSameBits(got, expected, "out");
      std::vector<float> in_place = x;
      table().layer_norm(in_place.data(), weight.data(), bias.data(), n, 1e-5F, in_place.data());
      expected.resize(x.size());
      ExpectSameBits(in_place, expected, "in place");
    }
  });
}

TEST_P(VectorOpsTest, Add) {
  ForKindsAndSeeds({Kind::kUsual, Kind::kAnyFinite}, [this](Kind kind, Random& random) {
    for (const int64_t n : kSizes) {
      SCOPED_TRACE(n);
      std::vector<float> got = Values(kind, n + kGuard, random);
      std::vector<float> expected = got;
      const std::vector<float> y = Values(kind, n, random);
      table().add(got.data(), y.data(), n);
      reference().add(expected.data(), y.data(), n);
      ExpectSameBits(got, expected, "x");
    }
  });
}

TEST_P(VectorOpsTest, AddScaled) {
  ForKindsAndSeeds({Kind::kUsual, Kind::kAnyFinite}, [this](Kind kind, Random& random) {
    for (const int64_t n : kSizes) {
      SCOPED_TRACE(n);
      std::vector<float> got = Values(kind, n + kGuard, random);
      std::vector<float> expected = got;
      const std::vector<float> y = Values(kind, n, random);
      table().add_scaled(got.data(), 0.3F, y.data(), n);
      reference().add_scaled(expected.data(), 0.3F, y.data(), n);
      ExpectSameBits(got, expected, "x");
    }
  });
}

const std::vector<Kind> kActivationKinds = {Kind::kUsual, Kind::kAnyFinite, Kind::kOfExp,
                                            Kind::kNotFinite};

// What changes one vector by a number.
TEST_P(VectorOpsTest, ScalesAndActivationsInPlace) {
  ForKindsAndSeeds(kActivationKinds, [this](Kind kind, Random& random) {
    for (const int64_t n : kSizes) {
      SCOPED_TRACE(n);
      const std::vector<float> x = Values(kind, n + kGuard, random);
      const auto compare = [&](const char* what, const auto& run) {
        std::vector<float> got = x;
        std::vector<float> expected = x;
        run(table(), got.data());
        run(reference(), expected.data());
        ExpectSameBits(got, expected, what);
      };
      compare("multiply", [n](const KernelTable& t, float* to) { t.multiply(to, 0.7F, n); });
      compare("soft_cap", [n](const KernelTable& t, float* to) { t.soft_cap(to, 30.0F, n); });
      compare("softmax_numerators",
              [n](const KernelTable& t, float* to) { t.softmax_numerators(to, 2.5F, 0.7F, n); });
      compare("gelu", [n](const KernelTable& t, float* to) { t.gelu(to, n); });
    }
  });
}

// What joins a gate with what it lets through.
TEST_P(VectorOpsTest, GatedActivations) {
  ForKindsAndSeeds(kActivationKinds, [this](Kind kind, Random& random) {
    for (const int64_t n : kSizes) {
      SCOPED_TRACE(n);
      const std::vector<float> gate = Values(kind, n + kGuard, random);
      const std::vector<float> up = Values(kind, n, random);
      for (const auto member : {&KernelTable::silu_multiply, &KernelTable::gelu_multiply,
                                &KernelTable::clamped_swiglu}) {
        std::vector<float> got = gate;
        std::vector<float> expected = gate;
        (table().*member)(got.data(), up.data(), n);
        (reference().*member)(expected.data(), up.data(), n);
        ExpectSameBits(got, expected, "gate");
      }
    }
  });
}

struct RopeShape {
  int32_t heads;
  int32_t head_dim;
  int32_t rope_dim;
};
constexpr std::array<RopeShape, 9> kRopeShapes = {{{1, 2, 2},
                                                   {3, 6, 6},
                                                   {2, 20, 18},
                                                   {2, 32, 32},
                                                   {9, 64, 64},
                                                   {2, 80, 32},
                                                   {3, 80, 80},
                                                   {2, 96, 48},
                                                   {2, 256, 128}}};

TEST_P(VectorOpsTest, Rope) {
  ForKindsAndSeeds({Kind::kUsual, Kind::kAnyFinite}, [this](Kind kind, Random& random) {
    for (const auto& [heads, head_dim, rope_dim] : kRopeShapes) {
      SCOPED_TRACE(head_dim);
      const std::vector<float> x = Values(kind, heads * head_dim + kGuard, random);
      const std::vector<float> cos = Values(kind, rope_dim / 2, random);
      const std::vector<float> sin = Values(kind, rope_dim / 2, random);
      std::vector<float> got = x;
      std::vector<float> expected = x;
      table().rope_adjacent(got.data(), cos.data(), sin.data(), heads, head_dim, rope_dim);
      reference().rope_adjacent(expected.data(), cos.data(), sin.data(), heads, head_dim, rope_dim);
      ExpectSameBits(got, expected, "adjacent");
      got = expected = x;
      table().rope_halves(got.data(), cos.data(), sin.data(), heads, head_dim, rope_dim);
      reference().rope_halves(expected.data(), cos.data(), sin.data(), heads, head_dim, rope_dim);
      ExpectSameBits(got, expected, "halves");
    }
  });
}

TEST_P(VectorOpsTest, StoreKv) {
  ForKindsAndSeeds({Kind::kUsual, Kind::kAnyFinite}, [this](Kind kind, Random& random) {
    for (const int32_t head_dim : {1, 6, 8, 20, 64, 80, 128}) {
      for (const int32_t slot : {0, 13, 31}) {
        for (const KvType kv_type : kAllKvTypes) {
          SCOPED_TRACE(head_dim);
          const AttentionShape shape{6, 3, head_dim, 1, kv_type};
          const std::vector<float> k = Values(kind, 3 * head_dim, random);
          const std::vector<float> v = Values(kind, 3 * head_dim, random);
          std::vector<std::byte> got = Output<std::byte>(KvPageBytes(shape));
          std::vector<std::byte> expected = got;
          table().store_kv(shape, k.data(), v.data(), got.data(), slot);
          reference().store_kv(shape, k.data(), v.data(), expected.data(), slot);
          EXPECT_EQ(got, expected);
        }
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Isa, VectorOpsTest, testing::ValuesIn(AllVectorKernels()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace shoal::kernels
