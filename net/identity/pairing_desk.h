// Which pairing codes a coordinator has given out, and whether a try to use one is right. Pure: the
// caller brings the time, and keeps the codes where they outlive the process.
//
// Thread rule: an object belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/sha256.h"
#include "net/identity/pairing_code.h"

namespace shoal {

constexpr int64_t kCodeLifeS = 600;
constexpr int64_t kCodeMemoryS = 3600;  // for which a used or expired code is told from a wrong one
constexpr size_t kMaxCodes = 32;        // remembered at once; the oldest make room

struct IssuedCode {
  PairingSecret secret{};
  int64_t issued_unix_s = 0;
  bool used = false;
  // The member that it made, and the SHA-256 of that device's public key in hexadecimal; empty
  // while the code is unused.
  std::string member_id;
  std::string key_hash;
};

class PairingDesk {
 public:
  PairingDesk() = default;
  explicit PairingDesk(std::vector<IssuedCode> codes) : codes_(std::move(codes)) {}

  void Issue(const PairingSecret& secret, int64_t now_unix_s);
  // Uses up the code whose secret `proves` accepts, so that the device with `public_key` becomes
  // the member `new_id`. Gives that id; or, to the device that used the code up and asks again
  // within its life (the answer may have been lost), the id of then. Who repeats a request of
  // somebody else gains nothing by that: what is issued is for a key that they do not have. Errors:
  // kNotFound (none: it may be a guess), kFailedPrecondition (used by another key, expired).
  Result<std::string> Redeem(const std::function<bool(const PairingSecret&)>& proves,
                             const std::string& public_key, const std::string& new_id,
                             int64_t now_unix_s);

  const std::vector<IssuedCode>& codes() const { return codes_; }

 private:
  void Forget(int64_t now_unix_s);

  std::vector<IssuedCode> codes_;  // oldest first
};

constexpr int64_t kTryWindowS = 60;
constexpr size_t kMaxTriesPerSource = 5;  // wrong ones, within the window
constexpr size_t kMaxTries = 30;          // of all sources together

// Slows down whoever tries codes.
class TryLimiter {
 public:
  // Error (kResourceExhausted): this source, or all together, failed too often of late.
  Status MayTry(const std::string& source, int64_t now_s);
  void Failed(const std::string& source, int64_t now_s);

 private:
  struct Failure {
    int64_t at_s = 0;
    std::string source;
  };
  std::deque<Failure> failures_;  // oldest first; at most kMaxTries
};

// What a device sends instead of the secret: HMAC-SHA256 under it, bound to the device's public key
// and to the authority that it expects, so that it is of no use to anyone else.
Sha256Digest PairingProof(const PairingSecret& secret, const std::string& public_key,
                          const Sha256Digest& authority_fingerprint);
// In a time that does not depend on where they differ.
bool SameProof(const Sha256Digest& a, const Sha256Digest& b);

}  // namespace shoal
