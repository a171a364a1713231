#include "net/identity/pairing_desk.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>

namespace shoal {

void PairingDesk::Forget(int64_t now_unix_s) {
  std::erase_if(codes_, [&](const IssuedCode& code) {
    return now_unix_s - code.issued_unix_s > kCodeMemoryS;
  });
}

void PairingDesk::Issue(const PairingSecret& secret, int64_t now_unix_s) {
  Forget(now_unix_s);
  if (codes_.size() >= kMaxCodes) codes_.erase(codes_.begin());
  codes_.push_back({secret, now_unix_s, false, {}, {}});
}

Result<std::string> PairingDesk::Redeem(const std::function<bool(const PairingSecret&)>& proves,
                                        const std::string& public_key, const std::string& new_id,
                                        int64_t now_unix_s) {
  Forget(now_unix_s);
  const auto code = std::find_if(codes_.begin(), codes_.end(),
                                 [&](const IssuedCode& issued) { return proves(issued.secret); });
  if (code == codes_.end()) return NotFound("the pairing code is not one of this mesh's");
  const int64_t age_s = now_unix_s - code->issued_unix_s;
  const std::string key_hash = ToHex(Sha256Of(public_key));
  if (code->used) {
    if (code->key_hash == key_hash && age_s >= 0 && age_s <= kCodeLifeS) return code->member_id;
    return FailedPrecondition("the pairing code was used before: it works once");
  }
  if (age_s < 0) {
    return FailedPrecondition(
        "the pairing code is of before this coordinator's clock was set back");
  }
  if (age_s > kCodeLifeS) {
    return FailedPrecondition(fmt::format(
        "the pairing code has expired: it is {} s old and works for {} s", age_s, kCodeLifeS));
  }
  code->used = true;
  code->member_id = new_id;
  code->key_hash = key_hash;
  return new_id;
}

Status TryLimiter::MayTry(const std::string& source, int64_t now_s) {
  while (!failures_.empty() && now_s - failures_.front().at_s >= kTryWindowS) failures_.pop_front();
  const auto from_source = static_cast<size_t>(
      std::count_if(failures_.begin(), failures_.end(),
                    [&](const Failure& failure) { return failure.source == source; }));
  if (from_source < kMaxTriesPerSource && failures_.size() < kMaxTries) return OkStatus();
  return ResourceExhausted(fmt::format("{} wrong pairing codes within {} s: try again later",
                                       failures_.size(), kTryWindowS));
}

void TryLimiter::Failed(const std::string& source, int64_t now_s) {
  failures_.push_back({now_s, source});
  if (failures_.size() > kMaxTries) failures_.pop_front();
}

Sha256Digest PairingProof(const PairingSecret& secret, const std::string& public_key,
                          const Sha256Digest& authority_fingerprint) {
  std::string bound = "shoal pairing 1";
  bound.append(authority_fingerprint.begin(), authority_fingerprint.end());
  bound += public_key;
  Sha256Digest proof{};
  unsigned int size = 0;
  const auto* data = reinterpret_cast<const unsigned char*>(bound.data());
  const unsigned char* made = HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                                   data, bound.size(), proof.data(), &size);
  CHECK(made != nullptr && size == proof.size(), "HMAC-SHA256 failed");
  return proof;
}

bool SameProof(const Sha256Digest& a, const Sha256Digest& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace shoal
