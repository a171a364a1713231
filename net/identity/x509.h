// Keys and certificates of a mesh: EC P-256 keys, and X.509 certificates that its authority issues.
// Both are PEM text here. Over OpenSSL; its errors become Results.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/sha256.h"
#include "net/identity/peer_identity.h"

namespace shoal {

constexpr int64_t kSecondsPerDay = 24 * 3600;
constexpr int64_t kAuthorityDays = 20 * 365;
constexpr int64_t kCertificateDays = 180;
constexpr int64_t kSelfSignedDays = 397;  // the most that browsers take
constexpr int64_t kRenewDays = 60;        // before the end, a certificate is renewed
constexpr int64_t kClockSkewS = 86'400;   // by which a peer's clock may be behind the authority's
constexpr int64_t kMaxPemBytes = 64 << 10;

struct CertificateFacts {
  std::vector<std::string> dns_names;
  bool authority = false;  // may issue others
  int64_t not_before_unix_s = 0;
  int64_t not_after_unix_s = 0;
  std::string public_key;      // SubjectPublicKeyInfo, DER
  Sha256Digest fingerprint{};  // of the whole certificate, DER

  // Its only DNS name. Errors: it has none or several, or that is not of this form.
  Result<PeerIdentity> Identity() const;
};

// A new private key.
Result<std::string> MakeKey();
// The public half: SubjectPublicKeyInfo, DER.
Result<std::string> PublicKeyOf(const std::string& key_pem);

// A self-signed authority for `key_pem`.
Result<std::string> MakeAuthority(const std::string& key_pem, int64_t now_unix_s);
// The id of the mesh that an authority makes.
std::string MeshIdOf(const CertificateFacts& authority);

struct CertificateOrder {
  std::string public_key;  // as of PublicKeyOf
  PeerIdentity identity;
  int64_t now_unix_s = 0;
  int64_t days = kCertificateDays;
};
// Errors also for a public key that is not on P-256: it may come from a peer.
Result<std::string> IssueCertificate(const std::string& authority_pem,
                                     const std::string& authority_key_pem,
                                     const CertificateOrder& order);

// Whether the first certificate of `pem` is for that DNS name or IP address. False for what is no
// certificate.
bool IsFor(const std::string& pem, const std::string& name);

// A certificate of `key_pem` that vouches for itself: what HTTPS uses where nobody gave it one.
// Clients are told its fingerprint, or where the file is, and trust that. `names` are DNS names and
// IP addresses, at least one.
Result<std::string> MakeSelfSigned(const std::string& key_pem,
                                   const std::vector<std::string>& names, int64_t now_unix_s);

// Of the first certificate in `pem`.
Result<CertificateFacts> ReadCertificate(const std::string& pem);
// An ECDSA signature of `text` with SHA-256, and the check that the key of the first certificate of
// `pem` made it. Any bytes may be given as a signature.
Result<std::string> Sign(const std::string& key_pem, std::string_view text);
Status CheckSignature(const std::string& pem, std::string_view text, std::string_view signature);
// "AB:CD:...", as browsers and other programs show a certificate's fingerprint.
std::string FingerprintText(const Sha256Digest& fingerprint);
// Whether the first certificate of `pem` was issued by the authority; time does not count.
Status CheckIssuedBy(const std::string& pem, const std::string& authority_pem);

}  // namespace shoal
