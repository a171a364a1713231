#include "kernels/quant_blocks.h"

#include <algorithm>
#include <bit>

#include "base/bytes.h"
#include "base/check.h"
#include "kernels/codebook_blocks.h"
#include "kernels/quant_formats.h"

namespace shoal::kernels {

namespace {

// A half as it stands in a file.
struct Half {
  uint8_t bytes[2];
  operator float() const { return HalfToFloat(LoadLittleEndian<uint16_t>(bytes)); }  // NOLINT
};

// The layouts as they stand in files, made of bytes only, so that a block is read where it lies.
struct Q4_0 {
  Half scale;
  uint8_t nibbles[16];
};
struct Q4_1 {
  Half scale;
  Half minimum;
  uint8_t nibbles[16];
};
struct Q5_0 {
  Half scale;
  uint8_t fifth_bits[4];
  uint8_t nibbles[16];
};
struct Q5_1 {
  Half scale;
  Half minimum;
  uint8_t fifth_bits[4];
  uint8_t nibbles[16];
};
struct Q8_0 {
  Half scale;
  int8_t quants[32];
};
struct Mxfp4 {
  uint8_t exponent;
  uint8_t nibbles[16];
};
struct Q2K {
  uint8_t scales[16];  // low nibble: scale, high nibble: minimum
  uint8_t pairs[64];
  Half scale;
  Half minimum_scale;
};
struct Q3K {
  uint8_t third_bits[32];
  uint8_t pairs[64];
  uint8_t scales[12];
  Half scale;
};
struct Q4K {
  Half scale;
  Half minimum_scale;
  uint8_t scales[12];
  uint8_t nibbles[128];
};
struct Q5K {
  Half scale;
  Half minimum_scale;
  uint8_t scales[12];
  uint8_t fifth_bits[32];
  uint8_t nibbles[128];
};
struct Q6K {
  uint8_t nibbles[128];
  uint8_t high_pairs[64];
  int8_t scales[16];
  Half scale;
};
struct Iq4Xs {
  Half scale;
  uint8_t scales_high[2];
  uint8_t scales_low[4];
  uint8_t nibbles[128];
};
struct Tq2 {
  uint8_t pairs[64];
  Half scale;
};
static_assert(sizeof(Q4_0) == 18 && sizeof(Q4_1) == 20 && sizeof(Q5_0) == 22);
static_assert(sizeof(Q5_1) == 24 && sizeof(Q8_0) == 34 && sizeof(Q2K) == 84);
static_assert(sizeof(Q3K) == 110 && sizeof(Q4K) == 144 && sizeof(Q5K) == 176);
static_assert(sizeof(Q6K) == 210 && sizeof(Iq4Xs) == 136 && sizeof(Mxfp4) == 17);
static_assert(sizeof(Tq2) == 66);

template <typename Layout>
const Layout& As(const std::byte* block) {
  static_assert(alignof(Layout) == 1);
  return *reinterpret_cast<const Layout*>(block);
}

// The 16 values of IQ4_NL and IQ4_XS.
constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                   1,    13,   25,  38,  53,  69,  89,  113};

// Twice the values of MXFP4 (E2M1), so that they are whole.
constexpr int8_t kMxfp4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// 2^(exponent - 128): the format's power of two 2^(exponent - 127), halved for whole quants.
float HalfPowerOfTwo(uint8_t exponent) {
  const uint32_t bits = exponent < 2 ? 0x00200000U << exponent : (exponent - 1U) << 23;
  return std::bit_cast<float>(bits);
}

// Value i is the low nibble of byte i, value half + i the high one.
void UnpackNibbles(const uint8_t* nibbles, int half, int offset, int8_t* quants) {
  for (int i = 0; i < half; ++i) {
    quants[i] = static_cast<int8_t>((nibbles[i] & 15) - offset);
    quants[half + i] = static_cast<int8_t>((nibbles[i] >> 4) - offset);
  }
}

void LookUpNibbles(const int8_t (&values)[16], const uint8_t* nibbles, int half, int8_t* quants) {
  for (int i = 0; i < half; ++i) {
    quants[i] = values[nibbles[i] & 15];
    quants[half + i] = values[nibbles[i] >> 4];
  }
}

// Bit i of the four bytes belongs to value i.
void AddFifthBits(const uint8_t* fifth_bits, int8_t* quants) {
  for (int byte = 0; byte < 4; ++byte) {
    for (int i = 0; i < 8; ++i) {
      int8_t& quant = quants[byte * 8 + i];
      quant = static_cast<int8_t>(quant + ((fifth_bits[byte] >> i & 1) << 4));
    }
  }
}

// The 6-bit scales and minimums of Q4_K and Q5_K, for 8 groups of 32: the first four stand in the
// low 6 bits of bytes 0-3 and 4-7, the last four in the nibbles of bytes 8-11 with their upper two
// bits on top of the first ones.
void UnpackScalesAndMinimums(const uint8_t* bytes, Block256& to) {
  for (int j = 0; j < 8; ++j) {
    int scale = bytes[j % 4] & 63;
    int minimum = bytes[j % 4 + 4] & 63;
    if (j >= 4) {
      scale = (bytes[j + 4] & 15) | (bytes[j - 4] >> 6 << 4);
      minimum = (bytes[j + 4] >> 4) | (bytes[j] >> 6 << 4);
    }
    to.scales[2 * j] = to.scales[2 * j + 1] = static_cast<int8_t>(scale);
    to.minimums[2 * j] = to.minimums[2 * j + 1] = static_cast<uint8_t>(minimum);
  }
}

// 2-bit values: for each half of 128, four runs of 32 values share 32 bytes, lowest bits first.
// Adds each times `weight` to its quant.
void AddPairs(const uint8_t* pairs, int weight, int8_t* quants) {
  for (int run = 0; run < 8; ++run) {
    for (int i = 0; i < 32; ++i) {
      int8_t& quant = quants[run * 32 + i];
      const int pair = pairs[run / 4 * 32 + i] >> (run % 4 * 2) & 3;
      quant = static_cast<int8_t>(quant + pair * weight);
    }
  }
}

// One bit for each value: run r of 32 values has bit r of the 32 bytes. Adds each times `weight`.
void AddBits(const uint8_t* bits, int weight, int8_t* quants) {
  for (int run = 0; run < 8; ++run) {
    for (int i = 0; i < 32; ++i) {
      int8_t& quant = quants[run * 32 + i];
      quant = static_cast<int8_t>(quant + (bits[i] >> run & 1) * weight);
    }
  }
}

void Unpack(const Q2K& from, Block256& to) {
  to.scale = from.scale;
  to.minimum_scale = from.minimum_scale;
  for (int j = 0; j < 16; ++j) {
    to.scales[j] = static_cast<int8_t>(from.scales[j] & 15);
    to.minimums[j] = from.scales[j] >> 4;
  }
  std::fill_n(to.quants, 256, int8_t{0});
  AddPairs(from.pairs, 1, to.quants);
}

// The third bit is stored inverted: absent means -4.
void Unpack(const Q3K& from, Block256& to) {
  to.scale = from.scale;
  for (int j = 0; j < 16; ++j) {
    const int low = from.scales[j % 8] >> (j / 8 * 4) & 15;
    const int high = from.scales[8 + j % 4] >> (j / 4 * 2) & 3;
    to.scales[j] = static_cast<int8_t>((low | high << 4) - 32);
  }
  std::fill_n(to.quants, 256, int8_t{-4});
  AddPairs(from.pairs, 1, to.quants);
  AddBits(from.third_bits, 4, to.quants);
}

void Unpack(const Q4K& from, Block256& to) {
  to.scale = from.scale;
  to.minimum_scale = from.minimum_scale;
  UnpackScalesAndMinimums(from.scales, to);
  for (int c = 0; c < 4; ++c) UnpackNibbles(from.nibbles + 32 * c, 32, 0, to.quants + 64 * c);
}

void Unpack(const Q5K& from, Block256& to) {
  to.scale = from.scale;
  to.minimum_scale = from.minimum_scale;
  UnpackScalesAndMinimums(from.scales, to);
  for (int c = 0; c < 4; ++c) UnpackNibbles(from.nibbles + 32 * c, 32, 0, to.quants + 64 * c);
  AddBits(from.fifth_bits, 16, to.quants);
}

// For each half of 128: 64 bytes of nibbles, values 0-63 the low ones; 32 bytes of upper bit pairs.
void Unpack(const Q6K& from, Block256& to) {
  to.scale = from.scale;
  for (int j = 0; j < 16; ++j) to.scales[j] = from.scales[j];
  for (int half = 0; half < 2; ++half) {
    UnpackNibbles(from.nibbles + 64 * half, 64, 32, to.quants + 128 * half);
  }
  AddPairs(from.high_pairs, 16, to.quants);
}

void Unpack(const Iq4Xs& from, Block256& to) {
  to.scale = from.scale;
  const int scales_high = LoadLittleEndian<uint16_t>(from.scales_high);
  for (int j = 0; j < 8; ++j) {
    const int low = from.scales_low[j / 2] >> (j % 2 * 4) & 15;
    const int high = scales_high >> (2 * j) & 3;
    to.scales[2 * j] = to.scales[2 * j + 1] = static_cast<int8_t>((low | high << 4) - 32);
    LookUpNibbles(kIq4Values, from.nibbles + 16 * j, 16, to.quants + 32 * j);
  }
}

void Unpack(const Q4_0& from, Block32& to) {
  to.scale = from.scale;
  UnpackNibbles(from.nibbles, 16, 8, to.quants);
}

void Unpack(const Q4_1& from, Block32& to) {
  to.scale = from.scale;
  to.minimum = from.minimum;
  UnpackNibbles(from.nibbles, 16, 0, to.quants);
}

void Unpack(const Q5_0& from, Block32& to) {
  to.scale = from.scale;
  UnpackNibbles(from.nibbles, 16, 16, to.quants);
  AddFifthBits(from.fifth_bits, to.quants);
}

void Unpack(const Q5_1& from, Block32& to) {
  to.scale = from.scale;
  to.minimum = from.minimum;
  UnpackNibbles(from.nibbles, 16, 0, to.quants);
  AddFifthBits(from.fifth_bits, to.quants);
}

void Unpack(const Q8_0& from, Block32& to) {
  to.scale = from.scale;
  for (int i = 0; i < 32; ++i) to.quants[i] = from.quants[i];
}

void Unpack(const Mxfp4& from, Block32& to) {
  to.scale = HalfPowerOfTwo(from.exponent);
  LookUpNibbles(kMxfp4Values, from.nibbles, 16, to.quants);
}

void Unpack(const Tq2& from, Block256& to) {
  to.scale = from.scale;
  std::fill_n(to.scales, 16, int8_t{1});
  std::fill_n(to.quants, 256, int8_t{-1});
  AddPairs(from.pairs, 1, to.quants);
}

}  // namespace

bool BlockHasMinimum(TensorType type) {
  return type == TensorType::kQ4_1 || type == TensorType::kQ5_1 || type == TensorType::kQ2_K ||
         type == TensorType::kQ4_K || type == TensorType::kQ5_K;
}

void UnpackBlock(TensorType type, const std::byte* block, Block32& to) {
  to.minimum = 0;
  switch (type) {
    case TensorType::kQ4_0: Unpack(As<Q4_0>(block), to); return;
    case TensorType::kQ4_1: Unpack(As<Q4_1>(block), to); return;
    case TensorType::kQ5_0: Unpack(As<Q5_0>(block), to); return;
    case TensorType::kQ5_1: Unpack(As<Q5_1>(block), to); return;
    case TensorType::kQ8_0: Unpack(As<Q8_0>(block), to); return;
    case TensorType::kMXFP4: Unpack(As<Mxfp4>(block), to); return;
    case TensorType::kIQ4_NL: {
      const auto& from = As<Q4_0>(block);  // the same layout
      to.scale = from.scale;
      LookUpNibbles(kIq4Values, from.nibbles, 16, to.quants);
      return;
    }
    default: CHECK(false, "a type of 32-value blocks");
  }
}

void UnpackBlock(TensorType type, const std::byte* block, Block256& to) {
  to.minimum_scale = 0;
  if (!BlockHasMinimum(type)) {
    for (uint8_t& minimum : to.minimums) minimum = 0;
  }
  switch (type) {
    case TensorType::kQ2_K: Unpack(As<Q2K>(block), to); return;
    case TensorType::kQ3_K: Unpack(As<Q3K>(block), to); return;
    case TensorType::kQ4_K: Unpack(As<Q4K>(block), to); return;
    case TensorType::kQ5_K: Unpack(As<Q5K>(block), to); return;
    case TensorType::kQ6_K: Unpack(As<Q6K>(block), to); return;
    case TensorType::kIQ4_XS: Unpack(As<Iq4Xs>(block), to); return;
    case TensorType::kTQ2_0: Unpack(As<Tq2>(block), to); return;
    default: CHECK(UnpackCodebookBlock(type, block, to), "a type of 256-value blocks");
  }
}

}  // namespace shoal::kernels
