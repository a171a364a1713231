// What both ends of a tunnel say before it carries bytes: bounded, and parsed without sockets.
//
//   hub      greeting: "SHTN", version, nonce [32]
//   dialler  preamble: "SHTN", version, purpose, u16 bytes that follow; then mesh, node, target and
//            proof, each u16 bytes and that many. The proof is over SignedText.
//   hub      kAccepted, or kRefused, u8 bytes, and why
//
// A relay carries bytes from then on. A parked connection waits: the dialler sends kPing now and
// then, the hub kGo when somebody wants the node, the dialler kGo in answer; then it carries bytes.
// Numbers are little endian. What is carried is gRPC over TLS between the two ends: a hub sees its
// ciphertext, its sizes and its timing, and the names in the preamble.
//
// Thread rule: pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace shoal {

constexpr size_t kNonceBytes = 32;
constexpr size_t kGreetingBytes = 4 + 1 + kNonceBytes;
constexpr size_t kPreambleHeaderBytes = 4 + 1 + 1 + 2;
constexpr size_t kMaxTunnelNameBytes = 64;
constexpr size_t kMaxProofBytes = 8192;  // a certificate and a signature
constexpr size_t kMaxPreambleBodyBytes = 3 * (2 + kMaxTunnelNameBytes) + 2 + kMaxProofBytes;

constexpr char kRefused = 0;
constexpr char kAccepted = 1;
constexpr char kPing = 2;
constexpr char kGo = 3;

using TunnelNonce = std::array<uint8_t, kNonceBytes>;

enum class TunnelPurpose : uint8_t {
  kPark = 1,   // to be the node's when somebody wants it
  kRelay = 2,  // to be joined to one of the target's
};

struct TunnelPreamble {
  TunnelPurpose purpose = TunnelPurpose::kPark;
  std::string mesh;
  std::string node;    // who dials
  std::string target;  // of a relay; else empty
  std::string proof;   // that it is `node` of `mesh`; see TunnelAuthenticator
};

// 1 to kMaxTunnelNameBytes letters, digits, '-', '_' and '.', not beginning with '.': also a name
// of a file.
bool IsTunnelName(std::string_view name);

std::string GreetingBytes(const TunnelNonce& nonce);
// REQUIRES kGreetingBytes. Errors: not a hub, another version.
Result<TunnelNonce> ParseGreeting(std::string_view bytes);

// What a proof is over: the nonce, so that it holds for one connection, and all that is claimed.
std::string SignedText(const TunnelNonce& nonce, const TunnelPreamble& preamble);

// REQUIRES names that are tunnel names (target: or empty) and a proof within its limit.
std::string PreambleBytes(const TunnelPreamble& preamble);
struct PreambleHeader {
  TunnelPurpose purpose = TunnelPurpose::kPark;
  size_t body_bytes = 0;  // at most kMaxPreambleBodyBytes
};
// REQUIRES kPreambleHeaderBytes. Errors: not a preamble, another version, too long.
Result<PreambleHeader> ParsePreambleHeader(std::string_view bytes);
// Errors name the field: missing, too long, not a name, a target where none belongs, bytes left
// over.
Result<TunnelPreamble> ParsePreambleBody(TunnelPurpose purpose, std::string_view bytes);

// The answer that refuses, with as much of `why` as fits.
std::string RefusalBytes(std::string_view why);

}  // namespace shoal
