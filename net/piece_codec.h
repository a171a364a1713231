// Packs pieces of models for the network where that saves more time than it costs, and unpacks them
// within bounds. zstd (RFC 8878).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace shoal {

// One zstd frame of `bytes`; nothing if it would not be shorter.
std::optional<std::string> PackPiece(std::span<const std::byte> bytes);

// The piece of which `packed` is the frame. It has `raw_bytes`, which the other side said, and is
// never written beyond them. Errors: kDataLoss for anything else, or more than `max_bytes`.
Result<std::string> UnpackPiece(std::string_view packed, int64_t raw_bytes, int64_t max_bytes);

// Whether packing is worth it: it takes bytes / pack_bytes_per_s of time, and then `ratio` of the
// bytes take their time on the link.
constexpr bool PackingPays(double ratio, double pack_bytes_per_s, double link_bytes_per_s) {
  return 1 / pack_bytes_per_s + ratio / link_bytes_per_s < 1 / link_bytes_per_s;
}

}  // namespace shoal
