// The text that lets a device join a mesh: where the coordinator listens, which authority to
// expect there, and a secret that works once and for ten minutes. Base32 in groups of five digits;
// the last digits check the others. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/sha256.h"
#include "net/address.h"

namespace shoal {

constexpr size_t kPinBytes = 16;     // of the authority's fingerprint
constexpr size_t kSecretBytes = 10;  // 80 bits: nobody guesses them in ten minutes
constexpr size_t kMaxCodeAddresses = 4;
constexpr size_t kMaxCodeChars = 2048;

using PairingSecret = std::array<uint8_t, kSecretBytes>;
using AuthorityPin = std::array<uint8_t, kPinBytes>;

AuthorityPin PinOf(const Sha256Digest& fingerprint);

struct PairingCode {
  std::vector<Address> addresses;  // of the coordinator, best first; TCP, at least one
  AuthorityPin pin{};
  PairingSecret secret{};
};

// REQUIRES 1 to kMaxCodeAddresses addresses, all of them TCP.
std::string EncodePairingCode(const PairingCode& code);

// Takes both cases; dashes and blanks do not count. Errors (kInvalidArgument) never quote the code.
Result<PairingCode> DecodePairingCode(std::string_view text);

}  // namespace shoal
