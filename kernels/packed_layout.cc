#include "kernels/packed_layout.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace shoal::kernels {
namespace {

// How one block of one row lies in GGUF: 2-byte halves, then pieces of 4 bytes. A row of F16 is
// blocks of one half; one of F32, blocks of one piece.
struct BlockShape {
  int64_t values;  // per block; 0 for a type without a packed layout
  int64_t halves;
  int64_t pieces;

  int64_t Bytes() const { return 2 * halves + 4 * pieces; }
};

BlockShape ShapeOf(TensorType type) {
  switch (type) {
    case TensorType::kQ4_0: return {.values = 32, .halves = 1, .pieces = 4};
    case TensorType::kQ4_1: return {.values = 32, .halves = 2, .pieces = 4};
    case TensorType::kQ8_0: return {.values = 32, .halves = 1, .pieces = 8};
    case TensorType::kF32: return {.values = 1, .halves = 0, .pieces = 1};
    case TensorType::kF16:
    case TensorType::kBF16: return {.values = 1, .halves = 1, .pieces = 0};
    default: return {.values = 0, .halves = 0, .pieces = 0};
  }
}

// Spreads one block of row `row` of a group over the group's record of that block.
void PackBlock(const BlockShape& shape, const std::byte* from, int64_t row, std::byte* record) {
  for (int64_t h = 0; h < shape.halves; ++h) {
    std::memcpy(record + 2 * (h * kRowUnit + row), from + 2 * h, 2);
  }
  from += 2 * shape.halves;
  record += 2 * shape.halves * kRowUnit;
  for (int64_t p = 0; p < shape.pieces; ++p) {
    std::memcpy(record + 4 * (p * kRowUnit + row), from + 4 * p, 4);
  }
}

}  // namespace

int64_t PackedGroupBytes(TensorType type, int64_t cols) {
  const BlockShape shape = ShapeOf(type);
  return shape.values == 0 ? 0 : cols / shape.values * shape.Bytes() * kRowUnit;
}

int64_t PackedMatrixBytes(TensorType type, int64_t rows, int64_t cols) {
  return (rows + kRowUnit - 1) / kRowUnit * PackedGroupBytes(type, cols);
}

void PackRowGroups(const WeightMatrix& from, int64_t row_begin, int64_t row_end, std::byte* to) {
  const BlockShape shape = ShapeOf(from.type);
  CHECK(shape.values != 0 && !from.packed, "pack takes row-major matrices of a type it can pack");
  const int64_t blocks = from.cols / shape.values;
  const int64_t row_bytes = blocks * shape.Bytes();
  const int64_t record_bytes = shape.Bytes() * kRowUnit;
  for (int64_t first = row_begin; first < row_end; first += kRowUnit) {
    std::byte* group = to + first / kRowUnit * blocks * record_bytes;
    const int64_t rows = std::min(kRowUnit, row_end - first);
    if (rows < kRowUnit) std::memset(group, 0, static_cast<size_t>(blocks * record_bytes));
    for (int64_t b = 0; b < blocks; ++b) {
      for (int64_t r = 0; r < rows; ++r) {
        const std::byte* block = from.data + (first + r) * row_bytes + b * shape.Bytes();
        PackBlock(shape, block, r, group + b * record_bytes);
      }
    }
  }
}

Activations SkipTokens(const Activations& x, int64_t tokens, int64_t cols) {
  Activations rest;
  if (x.f32 != nullptr) rest.f32 = x.f32 + tokens * cols;
  if (x.values != nullptr) {
    const int64_t blocks = tokens * (cols / 32);
    rest.values = x.values + tokens * cols;
    rest.scales = x.scales + blocks;
    rest.sums = x.sums + blocks;
    rest.scaled_sums = x.scaled_sums + blocks;
  }
  return rest;
}

}  // namespace shoal::kernels
