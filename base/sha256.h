// SHA-256 (FIPS 180-4), over OpenSSL.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace shoal {

using Sha256Digest = std::array<uint8_t, 32>;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(std::span<const std::byte> bytes);
  // Ends the computation: no Update after it.
  Sha256Digest Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

Sha256Digest Sha256Of(std::span<const std::byte> bytes);

// The same of a text's bytes.
Sha256Digest Sha256Of(std::string_view text);

// 64 lower-case hexadecimal digits.
std::string ToHex(const Sha256Digest& digest);
// The digest of 64 hexadecimal digits, lower or upper case; nothing for any other text.
std::optional<Sha256Digest> Sha256FromHex(std::string_view hex);

}  // namespace shoal
