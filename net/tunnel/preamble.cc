#include "net/tunnel/preamble.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"

namespace shoal {

namespace {

constexpr std::string_view kMagic = "SHTN";
constexpr char kVersion = 1;

void AppendField(std::string_view field, std::string& out) {
  const auto bytes = static_cast<uint16_t>(field.size());
  out += static_cast<char>(bytes & 0xffU);
  out += static_cast<char>(bytes >> 8U);
  out += field;
}

// Takes a field off the front of `bytes`.
Result<std::string> TakeField(const char* name, size_t most, std::string_view& bytes) {
  if (bytes.size() < 2) return InvalidArgument(fmt::format("tunnel: {} is missing", name));
  const size_t size = LoadLittleEndian<uint16_t>(bytes.data());
  bytes.remove_prefix(2);
  if (size > most || size > bytes.size()) {
    return InvalidArgument(fmt::format("tunnel: {} of {} bytes, the limit is {} and {} are left",
                                       name, size, most, bytes.size()));
  }
  std::string field(bytes.substr(0, size));
  bytes.remove_prefix(size);
  return field;
}

Result<std::string> TakeName(const char* name, std::string_view& bytes) {
  ASSIGN_OR_RETURN(std::string field, TakeField(name, kMaxTunnelNameBytes, bytes));
  if (IsTunnelName(field)) return field;
  return InvalidArgument(fmt::format("tunnel: {} is not a name: {} bytes", name, field.size()));
}

Status CheckMagic(std::string_view bytes) {
  if (bytes.substr(0, kMagic.size()) != kMagic) {
    return InvalidArgument("tunnel: the other side does not speak this protocol");
  }
  if (bytes[kMagic.size()] != kVersion) {
    return InvalidArgument(fmt::format("tunnel: the other side has version {}, this one {}",
                                       static_cast<int>(bytes[kMagic.size()]),
                                       static_cast<int>(kVersion)));
  }
  return OkStatus();
}

std::string NameFields(const TunnelPreamble& preamble) {
  std::string out;
  AppendField(preamble.mesh, out);
  AppendField(preamble.node, out);
  AppendField(preamble.target, out);
  return out;
}

}  // namespace

bool IsTunnelName(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  return !name.empty() && name.size() <= kMaxTunnelNameBytes && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), allowed);
}

std::string GreetingBytes(const TunnelNonce& nonce) {
  std::string out(kMagic);
  out += kVersion;
  out.append(nonce.begin(), nonce.end());
  return out;
}

Result<TunnelNonce> ParseGreeting(std::string_view bytes) {
  CHECK(bytes.size() == kGreetingBytes, "a whole greeting");
  RETURN_IF_ERROR(CheckMagic(bytes));
  TunnelNonce nonce;
  std::copy(bytes.end() - kNonceBytes, bytes.end(), nonce.begin());
  return nonce;
}

std::string SignedText(const TunnelNonce& nonce, const TunnelPreamble& preamble) {
  std::string out = "shoal tunnel";
  out += kVersion;
  out += static_cast<char>(preamble.purpose);
  out.append(nonce.begin(), nonce.end());
  return out + NameFields(preamble);
}

std::string PreambleBytes(const TunnelPreamble& preamble) {
  CHECK(IsTunnelName(preamble.mesh) && IsTunnelName(preamble.node), "tunnel names");
  CHECK(preamble.target.empty() || IsTunnelName(preamble.target), "a tunnel name");
  CHECK(preamble.proof.size() <= kMaxProofBytes, "a proof within its limit");
  std::string body = NameFields(preamble);
  AppendField(preamble.proof, body);
  std::string out(kMagic);
  out += kVersion;
  out += static_cast<char>(preamble.purpose);
  AppendField(body, out);
  return out;
}

Result<PreambleHeader> ParsePreambleHeader(std::string_view bytes) {
  CHECK(bytes.size() == kPreambleHeaderBytes, "a whole header");
  RETURN_IF_ERROR(CheckMagic(bytes));
  const auto purpose = static_cast<TunnelPurpose>(bytes[kMagic.size() + 1]);
  if (purpose != TunnelPurpose::kPark && purpose != TunnelPurpose::kRelay) {
    return InvalidArgument(
        fmt::format("tunnel: purpose {} is neither park nor relay", static_cast<int>(purpose)));
  }
  const size_t body = LoadLittleEndian<uint16_t>(bytes.data() + kMagic.size() + 2);
  if (body > kMaxPreambleBodyBytes) {
    return InvalidArgument(fmt::format("tunnel: a preamble of {} bytes, the limit is {}", body,
                                       kMaxPreambleBodyBytes));
  }
  return PreambleHeader{purpose, body};
}

Result<TunnelPreamble> ParsePreambleBody(TunnelPurpose purpose, std::string_view bytes) {
  TunnelPreamble preamble;
  preamble.purpose = purpose;
  ASSIGN_OR_RETURN(preamble.mesh, TakeName("mesh", bytes));
  ASSIGN_OR_RETURN(preamble.node, TakeName("node", bytes));
  if (purpose == TunnelPurpose::kRelay) {
    ASSIGN_OR_RETURN(preamble.target, TakeName("target", bytes));
  } else {
    ASSIGN_OR_RETURN(preamble.target, TakeField("target", 0, bytes));
  }
  ASSIGN_OR_RETURN(preamble.proof, TakeField("proof", kMaxProofBytes, bytes));
  if (!bytes.empty()) {
    return InvalidArgument(fmt::format("tunnel: {} bytes after the preamble", bytes.size()));
  }
  return preamble;
}

std::string RefusalBytes(std::string_view why) {
  why = why.substr(0, 255);
  std::string out = {kRefused, static_cast<char>(static_cast<uint8_t>(why.size()))};
  return out += why;
}

}  // namespace shoal
