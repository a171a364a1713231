// Base32 of RFC 4648 in lower case and without padding: for names in certificates and for codes
// that people type.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shoal {

std::string ToBase32(std::span<const uint8_t> bytes);

// Takes both cases. Nothing for another character, a length that no bytes have, or bits left over
// that are not zero: one text for each value.
std::optional<std::vector<uint8_t>> FromBase32(std::string_view text);

}  // namespace shoal
