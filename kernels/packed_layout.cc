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

// Spreads `count` units of row `row` over the record, of which `at` is the offset in the block.
template <int64_t kUnitBytes>
void PackUnits(int64_t count, int64_t row, const std::byte* block, std::byte* record, int64_t& at) {
  for (int64_t i = 0; i < count; ++i, at += kUnitBytes) {
    std::memcpy(record + kRowUnit * at + kUnitBytes * row, block + at, kUnitBytes);
  }
}

void PackBlock(const BlockUnits& units, const std::byte* block, int64_t row, std::byte* record) {
  int64_t at = 0;
  PackUnits<1>(units.bytes, row, block, record, at);
  PackUnits<2>(units.halves, row, block, record, at);
  PackUnits<4>(units.pieces, row, block, record, at);
  PackUnits<2>(units.last_halves, row, block, record, at);
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
      for (int64_t r = 0; r < rows; ++r) {
        const std::byte* block = from.data + (first + r) * row_bytes + at;
        PackBlock(*units, block, r, group + kRowUnit * at);
      }
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
