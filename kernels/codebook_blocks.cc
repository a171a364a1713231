// Eight values are handled as the bytes of a 64-bit word, which is one entry of an expanded
// codebook.
#include "kernels/codebook_blocks.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "kernels/codebooks.h"
#include "kernels/quant_formats.h"

namespace shoal::kernels {

namespace {

// The layouts as they stand in files, made of bytes only.
struct Iq2Xxs {
  uint8_t scale[2];
  uint8_t runs[8][8];  // of 32 values: 4 entries; 4 times 7 signs and a 4-bit scale
};
struct Iq2Xs {
  uint8_t scale[2];
  uint8_t entries[32][2];  // of 8 values: 9 bits of entry, 7 of signs
  uint8_t scales[8];
};
struct Iq2S {
  uint8_t scale[2];
  uint8_t entries[32];
  uint8_t signs[32];
  uint8_t high[8];  // entries' bits 8 and 9
  uint8_t scales[8];
};
struct Iq3Xxs {
  uint8_t scale[2];
  uint8_t entries[64];  // of 4 values
  uint8_t signs[8][4];  // as in Iq2Xxs
};
struct Iq3S {
  uint8_t scale[2];
  uint8_t entries[64];
  uint8_t high[8];  // entries' bit 8
  uint8_t signs[32];
  uint8_t scales[4];
};
struct Iq1S {
  uint8_t scale[2];
  uint8_t entries[32];
  uint8_t high[8]
              [2];  // of 32 values: 4 times entries' bits 8 to 10, a 3-bit scale, the shift's sign
};
struct Iq1M {
  uint8_t entries[32];
  uint8_t high[16];      // of 8 values, 4 bits each: entries' bits 8 to 10, the shift's sign
  uint8_t scales[4][2];  // 4 times 3 bits, and 4 bits of the block's scale
};
struct Tq1 {
  uint8_t digits[48];  // 5 base-3 digits each, as a fraction of 256
  uint8_t last[4];     // 4 digits each
  uint8_t scale[2];
};
static_assert(sizeof(Iq2Xxs) == 66 && sizeof(Iq2Xs) == 74 && sizeof(Iq2S) == 82);
static_assert(sizeof(Iq3Xxs) == 98 && sizeof(Iq3S) == 110 && sizeof(Iq1S) == 50);
static_assert(sizeof(Iq1M) == 56 && sizeof(Tq1) == 54);

constexpr std::array<uint8_t, 4> kIq2Values = {8, 25, 43, 0};
constexpr std::array<uint8_t, 8> kIq3XxsValues = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr std::array<uint8_t, 8> kIq3SValues = {1, 3, 5, 7, 9, 11, 13, 15};
// Eight times -1, 0, 1 shifted by an eighth up or down.
constexpr std::array<uint8_t, 4> kIq1UpValues = {0xf9, 1, 9, 0};
constexpr std::array<uint8_t, 4> kIq1DownValues = {0xf7, 0xff, 7, 0};

// A codebook with its entries' values as the bytes of Word.
template <typename Word, size_t kEntries, size_t kValues>
constexpr std::array<Word, kEntries> Expand(const std::array<uint16_t, kEntries>& book,
                                            const std::array<uint8_t, kValues>& values) {
  constexpr int kBits = std::countr_zero(kValues);
  std::array<Word, kEntries> words{};
  for (size_t e = 0; e < kEntries; ++e) {
    for (size_t i = 0; i < sizeof(Word); ++i) {
      const Word value = values[book[e] >> (kBits * i) & (kValues - 1)];
      words[e] |= value << (8 * i);
    }
  }
  return words;
}
constexpr auto kIq2Xxs = Expand<uint64_t>(kIq2XxsBook, kIq2Values);
constexpr auto kIq2Xs = Expand<uint64_t>(kIq2XsBook, kIq2Values);
constexpr auto kIq2S = Expand<uint64_t>(kIq2SBook, kIq2Values);
constexpr auto kIq3Xxs = Expand<uint32_t>(kIq3XxsBook, kIq3XxsValues);
constexpr auto kIq3S = Expand<uint32_t>(kIq3SBook, kIq3SValues);
constexpr auto kIq1Up = Expand<uint64_t>(kIq1Book, kIq1UpValues);
constexpr auto kIq1Down = Expand<uint64_t>(kIq1Book, kIq1DownValues);

// Byte i of entry s is all ones where bit i of s is set.
constexpr std::array<uint64_t, 256> MakeSignMasks() {
  std::array<uint64_t, 256> masks{};
  for (size_t s = 0; s < masks.size(); ++s) {
    for (size_t i = 0; i < 8; ++i) masks[s] |= (s >> i & 1) * uint64_t{0xff} << (8 * i);
  }
  return masks;
}
constexpr auto kSignMasks = MakeSignMasks();

// Negates byte i where bit i of `signs` is set. REQUIRES no byte to be 0.
uint64_t Negate(uint64_t bytes, uint32_t signs) {
  const uint64_t mask = kSignMasks[signs];
  return (bytes ^ mask) + (mask & 0x0101010101010101);
}

// Seven signs, and an eighth that makes their number even.
constexpr std::array<uint8_t, 128> MakeEvenSigns() {
  std::array<uint8_t, 128> signs{};
  for (uint32_t s = 0; s < signs.size(); ++s) {
    signs[s] = static_cast<uint8_t>(s | static_cast<uint32_t>(std::popcount(s) & 1) << 7);
  }
  return signs;
}
constexpr auto kEvenSigns = MakeEvenSigns();

float Half(const uint8_t* bytes) { return HalfToFloat(LoadLittleEndian<uint16_t>(bytes)); }

// 2 s + 1: the formats' scales are odd, halves of them being whole and a half.
int8_t Odd(uint32_t s) { return static_cast<int8_t>(2 * s + 1); }

// A scale of 32 values, or of 16 by nibbles.
void SetRunScale(int run, uint32_t s, int8_t* scales) {
  scales[2 * run] = scales[2 * run + 1] = Odd(s);
}
void SetScales(const uint8_t* nibbles, int8_t* scales) {
  for (int j = 0; j < 16; ++j) scales[j] = Odd(nibbles[j / 2] >> (j % 2 * 4) & 15U);
}

void Unpack(const Iq2Xxs& from, SignedBlock256& to) {
  to.scale = Half(from.scale) * 0.125F;
  for (int run = 0; run < 8; ++run) {
    const auto signs = LoadLittleEndian<uint32_t>(from.runs[run] + 4);
    SetRunScale(run, signs >> 28, to.scales);
    for (int i = 0; i < 4; ++i) {
      to.magnitudes[4 * run + i] = kIq2Xxs[from.runs[run][i]];
      to.signs[4 * run + i] = kEvenSigns[signs >> (7 * i) & 127];
    }
  }
}

void Unpack(const Iq2Xs& from, SignedBlock256& to) {
  to.scale = Half(from.scale) * 0.125F;
  SetScales(from.scales, to.scales);
  for (int g = 0; g < 32; ++g) {
    const uint32_t entry = LoadLittleEndian<uint16_t>(from.entries[g]);
    to.magnitudes[g] = kIq2Xs[entry & 511];
    to.signs[g] = kEvenSigns[entry >> 9];
  }
}

void Unpack(const Iq2S& from, SignedBlock256& to) {
  to.scale = Half(from.scale) * 0.125F;
  SetScales(from.scales, to.scales);
  std::memcpy(to.signs, from.signs, sizeof(to.signs));
  for (int g = 0; g < 32; ++g) {
    const uint32_t high = from.high[g / 4] >> (g % 4 * 2) & 3U;
    to.magnitudes[g] = kIq2S[from.entries[g] | high << 8];
  }
}

void Unpack(const Iq3Xxs& from, SignedBlock256& to) {
  to.scale = Half(from.scale) * 0.25F;
  for (int run = 0; run < 8; ++run) {
    const auto signs = LoadLittleEndian<uint32_t>(from.signs[run]);
    SetRunScale(run, signs >> 28, to.scales);
    for (int i = 0; i < 4; ++i) to.signs[4 * run + i] = kEvenSigns[signs >> (7 * i) & 127];
  }
  for (int g = 0; g < 32; ++g) {
    const uint64_t high = kIq3Xxs[from.entries[2 * g + 1]];
    to.magnitudes[g] = kIq3Xxs[from.entries[2 * g]] | high << 32;
  }
}

void Unpack(const Iq3S& from, SignedBlock256& to) {
  to.scale = Half(from.scale);
  std::memcpy(to.signs, from.signs, sizeof(to.signs));
  for (int run = 0; run < 8; ++run) {
    SetRunScale(run, from.scales[run / 2] >> (run % 2 * 4) & 15U, to.scales);
    const uint32_t bits = from.high[run];
    for (int i = 0; i < 4; ++i) {
      const uint8_t* entries = from.entries + 8 * run + 2 * i;
      const uint64_t low = kIq3S[entries[0] | (bits >> (2 * i) & 1) << 8];
      const uint64_t high = kIq3S[entries[1] | (bits >> (2 * i + 1) & 1) << 8];
      to.magnitudes[4 * run + i] = low | high << 32;
    }
  }
}

void Unpack(const Iq1S& from, Block256& to) {
  to.scale = Half(from.scale) * 0.125F;
  for (int run = 0; run < 8; ++run) {
    const uint32_t high = LoadLittleEndian<uint16_t>(from.high[run]);
    const auto& book = high >> 15 != 0 ? kIq1Down : kIq1Up;
    SetRunScale(run, high >> 12 & 7, to.scales);
    for (int i = 0; i < 4; ++i) {
      const uint64_t values = book[from.entries[4 * run + i] | (high >> (3 * i) & 7) << 8];
      std::memcpy(to.quants + 32 * run + 8 * i, &values, sizeof(values));
    }
  }
}

void Unpack(const Iq1M& from, Block256& to) {
  uint32_t scale = 0;
  for (int q = 0; q < 4; ++q) {
    const uint32_t scales = LoadLittleEndian<uint16_t>(from.scales[q]);
    scale |= scales >> 12 << (4 * q);
    for (int j = 0; j < 4; ++j) to.scales[4 * q + j] = Odd(scales >> (3 * j) & 7);
  }
  to.scale = HalfToFloat(static_cast<uint16_t>(scale)) * 0.125F;
  for (int g = 0; g < 32; ++g) {
    const uint32_t high = from.high[g / 2] >> (g % 2 * 4);
    const auto& book = (high & 8) != 0 ? kIq1Down : kIq1Up;
    const uint64_t values = book[from.entries[g] | (high & 7) << 8];
    std::memcpy(to.quants + 8 * g, &values, sizeof(values));
  }
}

// Digit n of a byte is the top base-3 digit of byte * 3^n.
void UnpackDigits(const uint8_t* bytes, int count, int digits, int8_t* quants) {
  uint32_t power = 1;
  for (int n = 0; n < digits; ++n, power *= 3) {
    for (int i = 0; i < count; ++i) {
      const uint32_t fraction = bytes[i] * power & 255;
      quants[n * count + i] = static_cast<int8_t>(static_cast<int>(fraction * 3 >> 8) - 1);
    }
  }
}

void Unpack(const Tq1& from, Block256& to) {
  to.scale = Half(from.scale);
  std::fill_n(to.scales, 16, int8_t{1});
  UnpackDigits(from.digits, 32, 5, to.quants);
  UnpackDigits(from.digits + 32, 16, 5, to.quants + 160);
  UnpackDigits(from.last, 4, 4, to.quants + 240);
}

template <typename Layout, typename Block>
void UnpackAs(const std::byte* block, Block& to) {
  static_assert(alignof(Layout) == 1);
  Unpack(*reinterpret_cast<const Layout*>(block), to);
}

}  // namespace

bool HasSignedBlocks(TensorType type) {
  return type == TensorType::kIQ2_XXS || type == TensorType::kIQ2_XS ||
         type == TensorType::kIQ2_S || type == TensorType::kIQ3_XXS || type == TensorType::kIQ3_S;
}

void UnpackSignedBlock(TensorType type, const std::byte* block, SignedBlock256& to) {
  switch (type) {
    case TensorType::kIQ2_XXS: UnpackAs<Iq2Xxs>(block, to); return;
    case TensorType::kIQ2_XS: UnpackAs<Iq2Xs>(block, to); return;
    case TensorType::kIQ2_S: UnpackAs<Iq2S>(block, to); return;
    case TensorType::kIQ3_XXS: UnpackAs<Iq3Xxs>(block, to); return;
    case TensorType::kIQ3_S: UnpackAs<Iq3S>(block, to); return;
    default: CHECK(false, "a type with signed blocks");
  }
}

bool UnpackCodebookBlock(TensorType type, const std::byte* block, Block256& to) {
  switch (type) {
    case TensorType::kIQ1_S: UnpackAs<Iq1S>(block, to); return true;
    case TensorType::kIQ1_M: UnpackAs<Iq1M>(block, to); return true;
    case TensorType::kTQ1_0: UnpackAs<Tq1>(block, to); return true;
    default: break;
  }
  if (!HasSignedBlocks(type)) return false;
  SignedBlock256 values;
  UnpackSignedBlock(type, block, values);
  to.scale = values.scale;
  std::memcpy(to.scales, values.scales, sizeof(to.scales));
  for (int g = 0; g < 32; ++g) {
    const uint64_t quants = Negate(values.magnitudes[g], values.signs[g]);
    std::memcpy(to.quants + 8 * g, &quants, sizeof(quants));
  }
  return true;
}

}  // namespace shoal::kernels
