#include "net/identity/pairing_code.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "net/identity/base32.h"

namespace shoal {

namespace {

// Layout: version, pin, secret, number of addresses, each as length, host and port (big endian),
// then the first bytes of the SHA-256 of all that.
constexpr uint8_t kVersion = 1;
constexpr size_t kCheckBytes = 3;
constexpr size_t kGroupChars = 5;
constexpr size_t kMaxHostBytes = 253;

std::span<const uint8_t> CheckOf(std::span<const uint8_t> bytes, Sha256Digest& digest) {
  digest = Sha256Of(std::as_bytes(bytes));
  return std::span(digest).first(kCheckBytes);
}

// Takes bytes from the front; after one that is not there, all are missing.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  bool Take(size_t count, std::span<const uint8_t>& out) {
    if (count > bytes_.size()) {
      bytes_ = {};
      return false;
    }
    out = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return true;
  }
  bool Take(uint8_t& out) {
    std::span<const uint8_t> one;
    if (!Take(1, one)) return false;
    out = one[0];
    return true;
  }
  bool done() const { return bytes_.empty(); }

 private:
  std::span<const uint8_t> bytes_;
};

bool ReadAddress(Reader& reader, Address& address) {
  uint8_t size = 0;
  std::span<const uint8_t> host;
  std::span<const uint8_t> port;
  if (!reader.Take(size) || !reader.Take(size, host) || !reader.Take(2, port)) return false;
  address.host.assign(host.begin(), host.end());
  address.port = static_cast<uint16_t>(port[0] << 8 | port[1]);
  const Result<Address> checked = ParseAddress(address.ToString());
  return checked.ok() && !checked->is_unix() && checked->port != 0 && checked->host == address.host;
}

Error Damaged() { return InvalidArgument("the pairing code is damaged: copy all of it again"); }

}  // namespace

AuthorityPin PinOf(const Sha256Digest& fingerprint) {
  AuthorityPin pin;
  std::copy_n(fingerprint.begin(), pin.size(), pin.begin());
  return pin;
}

std::string EncodePairingCode(const PairingCode& code) {
  CHECK(!code.addresses.empty() && code.addresses.size() <= kMaxCodeAddresses,
        "a pairing code has one to four addresses");
  std::vector<uint8_t> bytes = {kVersion};
  bytes.insert(bytes.end(), code.pin.begin(), code.pin.end());
  bytes.insert(bytes.end(), code.secret.begin(), code.secret.end());
  bytes.push_back(static_cast<uint8_t>(code.addresses.size()));
  for (const Address& address : code.addresses) {
    CHECK(!address.is_unix() && address.host.size() <= kMaxHostBytes, "an address on the network");
    bytes.push_back(static_cast<uint8_t>(address.host.size()));
    bytes.insert(bytes.end(), address.host.begin(), address.host.end());
    bytes.push_back(static_cast<uint8_t>(address.port >> 8));
    bytes.push_back(static_cast<uint8_t>(address.port));
  }
  Sha256Digest digest;
  const std::span<const uint8_t> check = CheckOf(bytes, digest);
  bytes.insert(bytes.end(), check.begin(), check.end());
  const std::string digits = ToBase32(bytes);
  std::string text;
  for (size_t i = 0; i < digits.size(); i += kGroupChars) {
    if (!text.empty()) text += '-';
    text += digits.substr(i, kGroupChars);
  }
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return text;
}

Result<PairingCode> DecodePairingCode(std::string_view text) {
  if (text.size() > kMaxCodeChars) {
    return InvalidArgument(fmt::format("a pairing code of {} characters, expected at most {}",
                                       text.size(), kMaxCodeChars));
  }
  std::string digits;
  std::copy_if(text.begin(), text.end(), std::back_inserter(digits),
               [](char c) { return c != '-' && c != ' ' && c != '\t' && c != '\r' && c != '\n'; });
  std::replace(digits.begin(), digits.end(), '0', 'O');  // digits that a code never has
  std::replace(digits.begin(), digits.end(), '1', 'I');
  const auto bytes = FromBase32(digits);
  if (!bytes || bytes->size() <= kCheckBytes) return Damaged();
  const auto body = std::span(*bytes).first(bytes->size() - kCheckBytes);
  Sha256Digest digest;
  const std::span<const uint8_t> check = CheckOf(body, digest);
  if (!std::equal(check.begin(), check.end(), bytes->end() - kCheckBytes)) return Damaged();

  Reader reader(body);
  uint8_t version = 0;
  uint8_t addresses = 0;
  std::span<const uint8_t> pin;
  std::span<const uint8_t> secret;
  if (!reader.Take(version)) return Damaged();
  if (version != kVersion) {
    return InvalidArgument(fmt::format("a pairing code of version {}, this build reads version {}",
                                       version, kVersion));
  }
  if (!reader.Take(kPinBytes, pin) || !reader.Take(kSecretBytes, secret) ||
      !reader.Take(addresses) || addresses == 0 || addresses > kMaxCodeAddresses) {
    return Damaged();
  }
  PairingCode code;
  std::copy(pin.begin(), pin.end(), code.pin.begin());
  std::copy(secret.begin(), secret.end(), code.secret.begin());
  code.addresses.resize(addresses);
  for (Address& address : code.addresses) {
    if (!ReadAddress(reader, address)) return Damaged();
  }
  if (!reader.done()) return Damaged();
  return code;
}

}  // namespace shoal
