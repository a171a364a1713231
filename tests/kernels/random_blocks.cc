#include "tests/kernels/random_blocks.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "kernels/quant_formats.h"
#include "kernels/reference.h"

namespace shoal::kernels {

namespace {

bool OneIn(int n, Random& random) { return random() % static_cast<uint64_t>(n) == 0; }

// About the standard normal distribution (the sum of four uniform values), and the same on every
// machine: std::normal_distribution calls log, whose bits differ between C libraries.
float Normal(Random& random) {
  constexpr float kDeviation = 37837.2F;  // of the sum: 2^16 / sqrt(3)
  int32_t sum = -2 * 0xffff;
  uint64_t bits = random();
  for (int i = 0; i < 4; ++i, bits >>= 16U) sum += static_cast<uint16_t>(bits);
  return static_cast<float>(sum) / kDeviation;
}

uint16_t RandomHalf(Scales scales, Random& random) {
  if (scales == Scales::kAny && OneIn(8, random)) {
    const auto half = static_cast<uint16_t>(random());
    return (half & 0x7c00U) == 0x7c00U ? static_cast<uint16_t>(half & 0x83ffU) : half;
  }
  return FloatToHalf(0.02F * Normal(random));
}

// Where the halves of a quantized block stand; all other bytes may be anything.
std::vector<int> HalfOffsets(TensorType type) {
  switch (type) {
    case TensorType::kQ4_1:
    case TensorType::kQ5_1:
    case TensorType::kQ4_K:
    case TensorType::kQ5_K: return {0, 2};
    case TensorType::kQ2_K: return {80, 82};
    case TensorType::kQ3_K: return {108};
    case TensorType::kQ6_K: return {208};
    case TensorType::kTQ1_0: return {52};
    case TensorType::kTQ2_0: return {64};
    case TensorType::kIQ1_M:
    case TensorType::kMXFP4: return {};
    default: return {0};
  }
}

// IQ1_M has the nibbles of its half at the top of four 16-bit words.
void SetIq1MScale(uint16_t half, std::byte* block) {
  for (int q = 0; q < 4; ++q) {
    std::byte& top = block[48 + 2 * q + 1];
    top = (top & std::byte{0x0f}) | static_cast<std::byte>((half >> 4 * q & 15) << 4);
  }
}

// MXFP4's scale is a power of two: mostly of a usual size, sometimes one of the smallest.
std::byte RandomExponent(Random& random) {
  return static_cast<std::byte>(OneIn(8, random) ? random() % 4 : 110 + random() % 20);
}

void FillQuantBlock(const TensorTypeInfo& info, Scales scales, std::byte* block, Random& random) {
  for (int i = 0; i < info.block_bytes; ++i) block[i] = static_cast<std::byte>(random());
  if (OneIn(16, random)) {
    constexpr std::array<int, 4> kExtremes = {0x00, 0xff, 0x80, 0x7f};
    std::memset(block, kExtremes[random() % 4], static_cast<size_t>(info.block_bytes));
  }
  for (const int offset : HalfOffsets(info.type)) {
    const uint16_t half = RandomHalf(scales, random);
    std::memcpy(block + offset, &half, sizeof(half));
  }
  if (info.type == TensorType::kIQ1_M) SetIq1MScale(RandomHalf(scales, random), block);
  if (info.type == TensorType::kMXFP4) block[0] = RandomExponent(random);
}

void FillFloat(TensorType type, std::byte* to, Random& random) {
  float value = Normal(random);
  if (OneIn(16, random)) value = std::ldexp(value, static_cast<int>(random() % 25) - 12);
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  if (type == TensorType::kF32) {
    std::memcpy(to, &bits, sizeof(bits));
  } else {
    const uint16_t half =
        type == TensorType::kF16 ? FloatToHalf(value) : static_cast<uint16_t>(bits >> 16U);
    std::memcpy(to, &half, sizeof(half));
  }
}

}  // namespace

std::vector<std::byte> RandomRows(TensorType type, int64_t rows, int64_t cols, Random& random,
                                  Scales scales) {
  const TensorTypeInfo& info = InfoOf(type);
  std::vector<std::byte> data(static_cast<size_t>(rows * RowBytes(type, cols)));
  for (size_t at = 0; at < data.size(); at += static_cast<size_t>(info.block_bytes)) {
    if (info.block_values == 1) {
      FillFloat(type, data.data() + at, random);
    } else {
      FillQuantBlock(info, scales, data.data() + at, random);
    }
  }
  return data;
}

std::vector<float> RandomFloats(int64_t count, Random& random) {
  std::vector<float> values(static_cast<size_t>(count));
  float size = 1;
  for (size_t i = 0; i < values.size(); ++i) {
    if (i % 32 == 0) {
      constexpr std::array<float, 4> kRareSizes = {0.0F, 1e-30F, 3e-37F, 1e-42F};
      size = OneIn(16, random) ? kRareSizes[random() % 4] : 1.0F;
    }
    values[i] = size * Normal(random);
    if (OneIn(64, random)) values[i] *= OneIn(2, random) ? 0.0F : 1e4F;
  }
  return values;
}

TestActivations::TestActivations(ActivationFormat format, int64_t tokens, int64_t cols,
                                 std::vector<float> x)
    : format_(format), cols_(cols), x_(std::move(x)) {
  if (format_ == ActivationFormat::kF32) return;
  const int64_t block = format_ == ActivationFormat::kInt8By32 ? 32 : 256;
  values_.resize(static_cast<size_t>(tokens * cols));
  scales_.resize(static_cast<size_t>(tokens * cols / block));
  sums_.resize(static_cast<size_t>(tokens * cols / 32));
  if (format_ == ActivationFormat::kInt8By32) {
    scaled_sums_.resize(sums_.size());
    reference::QuantizeBy32(x_.data(), tokens * cols, values_.data(), scales_.data(), sums_.data(),
                            scaled_sums_.data());
  } else {
    sums16_.resize(static_cast<size_t>(tokens * cols / 16));
    reference::QuantizeBy256(x_.data(), tokens * cols, values_.data(), scales_.data(), sums_.data(),
                             sums16_.data());
  }
}

Activations TestActivations::View(int64_t token) const {
  const int64_t at = token * cols_;
  Activations view;
  view.f32 = x_.data() + at;
  if (format_ == ActivationFormat::kF32) return view;
  view.values = values_.data() + at;
  view.sums = sums_.data() + at / 32;
  if (format_ == ActivationFormat::kInt8By32) {
    view.scales = scales_.data() + at / 32;
    view.scaled_sums = scaled_sums_.data() + at / 32;
  } else {
    view.scales = scales_.data() + at / 256;
    view.sums16 = sums16_.data() + at / 16;
  }
  return view;
}

}  // namespace shoal::kernels
