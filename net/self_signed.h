// A certificate that vouches for itself: what HTTPS uses where nobody gave it one. Clients are told
// its fingerprint, or where the file is, and trust that.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace shoal {

struct SelfSigned {
  std::string certificate_pem;
  std::string key_pem;  // secret
};

// An ECDSA P-256 key and a certificate for it, valid from an hour before `now_unix_s` (clocks
// differ) for kSelfSignedDays. `names` are DNS names and IP addresses, at least one.
Result<SelfSigned> MakeSelfSigned(const std::vector<std::string>& names, int64_t now_unix_s);
constexpr int64_t kSelfSignedDays = 397;  // the most that browsers take

constexpr int64_t kMaxCertificateBytes = 64 << 10;  // of a file that is worth reading

struct CertificateFacts {
  std::string sha256;  // of its DER form: "AB:CD:...", as other programs show it
  int64_t not_after_unix_s = 0;
};
// Of the first certificate of a PEM text. Error: there is none.
Result<CertificateFacts> ReadCertificate(const std::string& pem);

}  // namespace shoal
