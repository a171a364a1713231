#include "kernels/packed_layout.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/check.h"
#include "kernels/quant_blocks.h"

namespace shoal::kernels {
namespace {

// The units of one block of one row as it lies in GGUF, in this order. A row of F16 is blocks of
// one half; one of F32, blocks of one piece.
struct BlockUnits {
  int64_t bytes = 0;        // 1 byte each
  int64_t halves = 0;       // 2 bytes each
  int64_t pieces = 0;       // 4 bytes each
  int64_t last_halves = 0;  // halves after the pieces
};

// Nothing for a type without a packed layout.
std::optional<BlockUnits> UnitsOf(TensorType type) {
  switch (type) {
    case TensorType::kF32: return BlockUnits{.pieces = 1};
    case TensorType::kF16:
    case TensorType::kBF16: return BlockUnits{.halves = 1};
    case TensorType::kQ4_0:
    case TensorType::kIQ4_NL: return BlockUnits{.halves = 1, .pieces = 4};
    case TensorType::kMXFP4: return BlockUnits{.bytes = 1, .pieces = 4};
    case TensorType::kQ4_1: return BlockUnits{.halves = 2, .pieces = 4};
    case TensorType::kQ5_0: return BlockUnits{.halves = 1, .pieces = 5};
    case TensorType::kQ5_1: return BlockUnits{.halves = 2, .pieces = 5};
    case TensorType::kQ8_0: return BlockUnits{.halves = 1, .pieces = 8};
    case TensorType::kQ2_K: return BlockUnits{.pieces = 20, .last_halves = 2};
    case TensorType::kQ3_K: return BlockUnits{.pieces = 27, .last_halves = 1};
    case TensorType::kQ4_K: return BlockUnits{.halves = 2, .pieces = 35};
    case TensorType::kQ5_K: return BlockUnits{.halves = 2, .pieces = 43};
    case TensorType::kQ6_K: return BlockUnits{.pieces = 52, .last_halves = 1};
    case TensorType::kTQ2_0: return BlockUnits{.pieces = 16, .last_halves = 1};
    case TensorType::kIQ4_XS: return BlockUnits{.halves = 2, .pieces = 33};
    default: return std::nullopt;
  }
}

// The 16 rows of a group at one block: row r's block lies at block + r * stride.
struct BlockColumn {
  const std::byte* block;
  int64_t stride;
  int64_t rows;  // at most kRowUnit
};

// Spreads `count` units of every row over the record, of which `at` is the offset in the block.
template <int64_t kUnitBytes>
void PackUnits(int64_t count, const BlockColumn& from, std::byte* record, int64_t& at) {
  for (int64_t i = 0; i < count; ++i, at += kUnitBytes) {
    for (int64_t r = 0; r < from.rows; ++r) {
      std::memcpy(record + kRowUnit * at + kUnitBytes * r, from.block + r * from.stride + at,
                  kUnitBytes);
    }
  }
}

using FourPieces = uint32_t __attribute__((vector_size(16)));

FourPieces LoadPieces(const std::byte* from) {
  FourPieces pieces;
  std::memcpy(&pieces, from, sizeof(pieces));
  return pieces;
}

// Four pieces of four rows at once: a transpose in registers.
void PackFourPieces(const BlockColumn& from, int64_t row, std::byte* record, int64_t at) {
  const std::byte* block = from.block + row * from.stride + at;
  const FourPieces a = LoadPieces(block);
  const FourPieces b = LoadPieces(block + from.stride);
  const FourPieces c = LoadPieces(block + 2 * from.stride);
  const FourPieces d = LoadPieces(block + 3 * from.stride);
  const FourPieces ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const FourPieces ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const FourPieces cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const FourPieces cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const FourPieces columns[4] = {__builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5),
                                 __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7),
                                 __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5),
                                 __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7)};
  for (int64_t i = 0; i < 4; ++i) {
    std::memcpy(record + kRowUnit * (at + 4 * i) + 4 * row, &columns[i], sizeof(columns[i]));
  }
}

void PackPieces(int64_t count, const BlockColumn& from, std::byte* record, int64_t& at) {
  if (from.rows == kRowUnit) {
    for (; count >= 4; count -= 4, at += 16) {
      for (int64_t row = 0; row < kRowUnit; row += 4) PackFourPieces(from, row, record, at);
    }
  }
  PackUnits<4>(count, from, record, at);
}

void PackBlocks(const BlockUnits& units, const BlockColumn& from, std::byte* record) {
  int64_t at = 0;
  PackUnits<1>(units.bytes, from, record, at);
  PackUnits<2>(units.halves, from, record, at);
  PackPieces(units.pieces, from, record, at);
  PackUnits<2>(units.last_halves, from, record, at);
}

}  // namespace

int64_t PackedGroupBytes(TensorType type, int64_t cols) {
  return UnitsOf(type) ? kRowUnit * RowBytes(type, cols) : 0;
}

int64_t PackedMatrixBytes(TensorType type, int64_t rows, int64_t cols) {
  return (rows + kRowUnit - 1) / kRowUnit * PackedGroupBytes(type, cols);
}

void PackRowGroups(const WeightMatrix& from, int64_t row_begin, int64_t row_end, std::byte* to) {
  const std::optional<BlockUnits> units = UnitsOf(from.type);
  CHECK(units && !from.packed, "pack takes row-major matrices of a type it can pack");
  const int64_t block_bytes = InfoOf(from.type).block_bytes;
  const int64_t row_bytes = RowBytes(from.type, from.cols);
  for (int64_t first = row_begin; first < row_end; first += kRowUnit) {
    std::byte* group = to + first * row_bytes;
    const int64_t rows = std::min(kRowUnit, row_end - first);
    if (rows < kRowUnit) std::memset(group, 0, static_cast<size_t>(kRowUnit * row_bytes));
    for (int64_t at = 0; at < row_bytes; at += block_bytes) {
      PackBlocks(*units, {from.data + first * row_bytes + at, row_bytes, rows},
                 group + kRowUnit * at);
    }
  }
}

void UnpackGroup(const WeightMatrix& from, int64_t first, int64_t block, UnpackedRecord& to) {
  const int64_t row_bytes = RowBytes(from.type, from.cols);
  const int64_t rows = std::min(kRowUnit, from.rows - first);
  if (rows < kRowUnit) to = {};
  const std::byte* data = from.data + first * row_bytes + block * InfoOf(from.type).block_bytes;
  Block256 unpacked;
  for (int64_t r = 0; r < rows; ++r) {
    UnpackBlock(from.type, data + r * row_bytes, unpacked);
    for (int64_t g = 0; g < 64; ++g) std::memcpy(to.quants[g][r], unpacked.quants + 4 * g, 4);
    for (int64_t g = 0; g < 4; ++g) std::memcpy(to.scales[g][r], unpacked.scales + 4 * g, 4);
    to.scale[r] = unpacked.scale;
  }
}

Activations SkipTokens(const Activations& x, int64_t tokens, int64_t cols) {
  Activations rest;
  if (x.f32 != nullptr) rest.f32 = x.f32 + tokens * cols;
  if (x.values != nullptr) {
    const int64_t runs = tokens * (cols / 32);
    rest.values = x.values + tokens * cols;
    rest.sums = x.sums + runs;
    if (x.scaled_sums != nullptr) {
      rest.scales = x.scales + runs;
      rest.scaled_sums = x.scaled_sums + runs;
    } else {
      rest.scales = x.scales + runs / 8;
      rest.sums16 = x.sums16 + 2 * runs;
    }
  }
  return rest;
}

}  // namespace shoal::kernels
