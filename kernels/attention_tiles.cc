#include "kernels/attention_tiles.h"

#include <algorithm>
#include <limits>

namespace shoal::kernels {

namespace {

// The rows of one kv head: row r is query head first_head + r % group of token r / group.
struct Rows {
  int64_t first_position;
  int32_t group;       // query heads of the kv head
  int32_t first_head;  // of the group
  int32_t heads;
  int32_t head_dim;

  int64_t Position(int64_t row) const { return first_position + row / group; }
  // Where a row's values lie in q and out.
  int64_t Offset(int64_t row) const {
    return (row / group * heads + first_head + row % group) * head_dim;
  }
};

AttentionPage PageOf(const AttentionShape& shape, const std::byte* page, int32_t kv_head) {
  const int64_t bytes = int64_t{shape.head_dim} * kKvPageTokens * KvTypeBytes(shape.kv_type);
  const std::byte* k = page + kv_head * 2 * bytes;
  return {k, k + bytes, shape.head_dim, 0};
}

// Takes the page that begins at position `page_begin` into the `count` rows of the tile; row 0 of
// the tile is row `begin`.
void TakePage(const AttentionSteps& steps, const Rows& rows, int64_t begin, int32_t count,
              int64_t page_begin, AttentionPage page, AttentionTile& tile) {
  int32_t row = 0;
  while (row < count) {
    // Rows see more keys the later their token, so those that see the whole page come last.
    const int64_t position = rows.Position(begin + row);
    int32_t end = count;
    if (position < page_begin + kKvPageTokens - 1) {
      const int64_t next_token = (position - rows.first_position + 1) * rows.group;
      end = static_cast<int32_t>(std::min<int64_t>(count, next_token - begin));
    }
    page.visible =
        static_cast<int32_t>(std::clamp<int64_t>(position - page_begin + 1, 0, kKvPageTokens));
    if (page.visible == 0) row = end;
    while (row < end) {
      const int32_t groups = (end - row + kMaxGroupRows - 1) / kMaxGroupRows;
      const int32_t group_rows = (end - row + groups - 1) / groups;
      steps.take_page(page, tile, row, group_rows);
      row += group_rows;
    }
  }
}

}  // namespace

void AttendByTiles(const AttentionSteps& steps, const AttentionShape& shape, const float* q,
                   int64_t tokens, int64_t first_position, const std::byte* const* pages,
                   int32_t kv_head, float* out) {
  const int32_t group = shape.heads / shape.kv_heads;
  const Rows rows{first_position, group, kv_head * group, shape.heads, shape.head_dim};
  AttentionTile tile;
  tile.stride = (shape.head_dim + kTileAlignment - 1) / kTileAlignment * kTileAlignment;
  const int32_t tile_rows = std::min(kMaxTileRows, kMaxTileFloats / tile.stride);
  const int64_t all_rows = tokens * group;
  for (int64_t begin = 0; begin < all_rows; begin += tile_rows) {
    const int32_t count = static_cast<int32_t>(std::min<int64_t>(tile_rows, all_rows - begin));
    for (int32_t row = 0; row < count; ++row) {
      steps.multiply(q + rows.Offset(begin + row), shape.head_dim, shape.scale,
                     tile.q + row * tile.stride);
    }
    std::fill_n(tile.o, count * tile.stride, 0.0F);
    std::fill_n(tile.max, count, -std::numeric_limits<float>::infinity());
    std::fill_n(tile.sum, count, 0.0F);
    const int64_t last_page = rows.Position(begin + count - 1) / kKvPageTokens;
    for (int64_t p = 0; p <= last_page; ++p) {
      TakePage(steps, rows, begin, count, p * kKvPageTokens, PageOf(shape, pages[p], kv_head),
               tile);
    }
    for (int32_t row = 0; row < count; ++row) {
      steps.divide(tile.o + row * tile.stride, shape.head_dim, tile.sum[row],
                   out + rows.Offset(begin + row));
    }
  }
}

}  // namespace shoal::kernels
