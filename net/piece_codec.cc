#include "net/piece_codec.h"

#include <fmt/format.h>
#include <zstd.h>

namespace shoal {

namespace {

constexpr int kLevel = 1;  // the fastest; higher ones gain little on weights

}  // namespace

std::optional<std::string> PackPiece(std::span<const std::byte> bytes) {
  std::string packed(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size =
      ZSTD_compress(packed.data(), packed.size(), bytes.data(), bytes.size(), kLevel);
  if (ZSTD_isError(size) != 0 || size >= bytes.size()) return std::nullopt;
  packed.resize(size);
  return packed;
}

Result<std::string> UnpackPiece(std::string_view packed, int64_t raw_bytes, int64_t max_bytes) {
  if (raw_bytes < 1 || raw_bytes > max_bytes) {
    return DataLoss(
        fmt::format("a packed piece of {} bytes, expected 1 to {}", raw_bytes, max_bytes));
  }
  std::string raw(static_cast<size_t>(raw_bytes), '\0');
  const size_t size = ZSTD_decompress(raw.data(), raw.size(), packed.data(), packed.size());
  if (ZSTD_isError(size) != 0) {
    return DataLoss(fmt::format("a packed piece of {} bytes cannot be unpacked: {}", raw_bytes,
                                ZSTD_getErrorName(size)));
  }
  if (size != raw.size()) {
    return DataLoss(fmt::format("a packed piece has {} bytes, said to be {}", size, raw_bytes));
  }
  return raw;
}

}  // namespace shoal
