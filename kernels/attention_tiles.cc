#include "kernels/attention_tiles.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/portable_math.h"

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
  // The first row of the next token.
  int64_t NextToken(int64_t row) const { return (row / group + 1) * group; }
  int64_t Head(int64_t row) const { return first_head + row % group; }
  // Where a row's values lie in q and out.
  int64_t Offset(int64_t row) const { return (row / group * heads + Head(row)) * head_dim; }
};

// The keys [first, end) of a page, as many as a query at `position` sees.
struct VisibleKeys {
  int32_t first;
  int32_t end;

  bool operator==(const VisibleKeys&) const = default;
};
VisibleKeys VisibleAt(int64_t position, int32_t window, int64_t page_begin) {
  const auto within = [page_begin](int64_t key) {
    return static_cast<int32_t>(std::clamp<int64_t>(key - page_begin, 0, kKvPageTokens));
  };
  return {window == 0 ? 0 : within(position + 1 - window), within(position + 1)};
}

AttentionPage PageOf(const AttentionSteps& steps, const AttentionShape& shape,
                     const std::byte* page, int32_t kv_head, UnpackedPage& unpacked) {
  const std::byte* k = page + kv_head * KvHeadPageBytes(shape);
  const std::byte* v = k + KvHeadPageBytes(shape) / 2;
  if (shape.kv_type == KvType::kQ8_0) {
    steps.unpack_q8(k, shape.head_dim, unpacked);
    k = reinterpret_cast<const std::byte*>(unpacked.k);
    v = reinterpret_cast<const std::byte*>(unpacked.v);
  }
  return {k, v, shape.head_dim, 0, 0, shape.softcap};
}

// Takes the page that begins at position `page_begin` into the `count` rows of the tile; row 0 of
// the tile is row `begin`.
void TakePage(const AttentionSteps& steps, const Rows& rows, int32_t window, int64_t begin,
              int32_t count, int64_t page_begin, AttentionPage page, AttentionTile& tile) {
  const auto visible_to = [&](int32_t row) {
    return VisibleAt(rows.Position(begin + row), window, page_begin);
  };
  int32_t row = 0;
  while (row < count) {
    const VisibleKeys keys = visible_to(row);
    // Neither bound falls from token to token: what the last row sees too, all between see. Else
    // the rows of one token go together.
    const int32_t end =
        keys == visible_to(count - 1)
            ? count
            : std::min(count, static_cast<int32_t>(rows.NextToken(begin + row) - begin));
    if (keys.first >= keys.end) row = end;
    page.first = keys.first;
    page.visible = keys.end;
    while (row < end) {
      const int32_t groups = (end - row + kMaxGroupRows - 1) / kMaxGroupRows;
      const int32_t group_rows = (end - row + groups - 1) / groups;
      steps.take_page(page, tile, row, group_rows);
      row += group_rows;
    }
  }
}

// The head's sink after the last page.
void TakeSink(const AttentionSteps& steps, float sink, int32_t row, AttentionTile& tile) {
  const float largest = sink > tile.max[row] ? sink : tile.max[row];
  const float correction = ExpF(tile.max[row] - largest);
  tile.sum[row] = std::fma(tile.sum[row], correction, ExpF(sink - largest));
  float* o = tile.o + row * tile.stride;
  steps.multiply(o, tile.stride, correction, o);
}

}  // namespace

void AttendByTiles(const AttentionSteps& steps, const AttentionShape& shape, const float* q,
                   int64_t tokens, int64_t first_position, const std::byte* const* pages,
                   int32_t kv_head, float* out) {
  const int32_t group = shape.heads / shape.kv_heads;
  const Rows rows{first_position, group, kv_head * group, shape.heads, shape.head_dim};
  AttentionTile tile;
  UnpackedPage unpacked;  // not touched unless the pages are kQ8_0
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
    const int64_t first_key =
        shape.window == 0 ? 0 : std::max<int64_t>(0, rows.Position(begin) + 1 - shape.window);
    const int64_t last_page = rows.Position(begin + count - 1) / kKvPageTokens;
    for (int64_t p = first_key / kKvPageTokens; p <= last_page; ++p) {
      TakePage(steps, rows, shape.window, begin, count, p * kKvPageTokens,
               PageOf(steps, shape, pages[p], kv_head, unpacked), tile);
    }
    for (int32_t row = 0; row < count; ++row) {
      if (shape.sinks != nullptr) {
        TakeSink(steps, shape.sinks[rows.Head(begin + row)], row, tile);
      }
      steps.divide(tile.o + row * tile.stride, shape.head_dim, tile.sum[row],
                   out + rows.Offset(begin + row));
    }
  }
}

}  // namespace shoal::kernels
