#include "net/identity/base32.h"

namespace shoal {

namespace {

constexpr std::string_view kDigits = "abcdefghijklmnopqrstuvwxyz234567";
constexpr int kDigitBits = 5;

}  // namespace

std::string ToBase32(std::span<const uint8_t> bytes) {
  std::string text;
  uint32_t buffer = 0;
  int bits = 0;
  for (const uint8_t byte : bytes) {
    buffer = buffer << 8 | byte;
    for (bits += 8; bits >= kDigitBits; bits -= kDigitBits) {
      text += kDigits[buffer >> (bits - kDigitBits) & 31];
    }
  }
  if (bits > 0) text += kDigits[buffer << (kDigitBits - bits) & 31];
  return text;
}

std::optional<std::vector<uint8_t>> FromBase32(std::string_view text) {
  std::vector<uint8_t> bytes;
  uint32_t buffer = 0;
  int bits = 0;
  for (const char c : text) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const size_t digit = kDigits.find(lower);
    if (digit == std::string_view::npos) return std::nullopt;
    buffer = buffer << kDigitBits | static_cast<uint32_t>(digit);
    bits += kDigitBits;
    if (bits >= 8) {
      bits -= 8;
      bytes.push_back(static_cast<uint8_t>(buffer >> bits));
    }
  }
  if (bits >= kDigitBits || (buffer & ((1U << bits) - 1)) != 0) return std::nullopt;
  return bytes;
}

}  // namespace shoal
