#include "coordinator/service/mesh_authority.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/rand.h>

#include <ctime>

#include "base/atomic_file.h"
#include "base/file_lock.h"
#include "base/wall_clock.h"
#include "net/identity/base32.h"
#include "net/identity/x509.h"

namespace shoal {

namespace {

// There is no way to make an authority again.
constexpr const char* kAdvice =
    "put the folder back as it was (where the machine is another one for good, without its file "
    "'machine'), or remove it and let all nodes join anew";

template <size_t kBytes>
std::array<uint8_t, kBytes> RandomBytes() {
  std::array<uint8_t, kBytes> bytes;
  CHECK(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1, "no randomness");
  return bytes;
}

// The authority in `folder`, made with its key if there is none.
Result<std::string> LoadOrMakeAuthority(const std::string& folder, const std::string& key_pem,
                                        int64_t now_unix_s) {
  Result<std::string> authority = ReadFileUpTo(AuthorityPath(folder), kMaxPemBytes);
  if (authority.ok() || authority.error().code != ErrorCode::kNotFound) return authority;
  ASSIGN_OR_RETURN(std::string made, MakeAuthority(key_pem, now_unix_s));
  RETURN_IF_ERROR(WriteFileAtomically(AuthorityPath(folder), made));
  return made;
}

}  // namespace

Result<std::unique_ptr<MeshAuthority>> MeshAuthority::Open(const std::string& folder,
                                                           const std::string& machine,
                                                           int64_t now_unix_s) {
  std::unique_ptr<MeshAuthority> mesh(new MeshAuthority(folder));
  mesh->machine_ = machine;
  RETURN_IF_ERROR(LoadOrMakeKey(folder));  // makes the folder
  {
    ASSIGN_OR_RETURN(const FileLock alone, FileLock::Wait(folder + "/lock"));
    if (const Status made = mesh->LoadOrMake(now_unix_s); !made.ok()) {
      return Error{made.error().code, fmt::format("{}; {}", made.error().message, kAdvice)};
    }
  }
  RETURN_IF_ERROR(mesh->RenewOwn(now_unix_s));
  RETURN_IF_ERROR(mesh->RefreshRevoked());
  return mesh;
}

Status MeshAuthority::LoadOrMake(int64_t now_unix_s) {
  ASSIGN_OR_RETURN(authority_key_pem_, LoadOrMakeKey(folder_ + "/authority"));
  ASSIGN_OR_RETURN(authority_pem_, LoadOrMakeAuthority(folder_, authority_key_pem_, now_unix_s));
  ASSIGN_OR_RETURN(const CertificateFacts authority, ReadCertificate(authority_pem_));
  fingerprint_ = authority.fingerprint;
  if (now_unix_s < authority.not_before_unix_s || now_unix_s > authority.not_after_unix_s) {
    const auto utc = [](int64_t unix_s) { return fmt::gmtime(static_cast<std::time_t>(unix_s)); };
    return FailedPrecondition(
        fmt::format("{} is valid from {:%Y-%m-%d} to {:%Y-%m-%d}, and this machine's clock says "
                    "{:%Y-%m-%d}: it "
                    "is wrong, or was so when the mesh was made",
                    AuthorityPath(folder_), utc(authority.not_before_unix_s),
                    utc(authority.not_after_unix_s), utc(now_unix_s)));
  }
  ASSIGN_OR_RETURN(const std::string public_key, PublicKeyOf(authority_key_pem_));
  if (public_key != authority.public_key) {
    return DataLoss(fmt::format("{} is not the key of {}", KeyPath(folder_ + "/authority"),
                                AuthorityPath(folder_)));
  }
  // At time 0 nothing has run out: what has is renewed.
  Result<OwnIdentity> own = LoadIdentity(folder_, machine_, 0);
  if (!own.ok() && own.error().code == ErrorCode::kNotFound) {
    CertificateOrder order;
    ASSIGN_OR_RETURN(const std::string key, LoadOrMakeKey(folder_));
    ASSIGN_OR_RETURN(order.public_key, PublicKeyOf(key));
    order.identity = {MeshIdOf(authority), Role::kCoordinator, MakeMemberId()};
    order.now_unix_s = now_unix_s;
    ASSIGN_OR_RETURN(const std::string certificate,
                     IssueCertificate(authority_pem_, authority_key_pem_, order));
    RETURN_IF_ERROR(roster_.MakeIfMissing());
    RETURN_IF_ERROR(StoreIdentity(folder_, machine_, certificate, authority_pem_));
    own = LoadIdentity(folder_, machine_, now_unix_s);
  }
  if (!own.ok()) return own.error();
  credentials_ = std::make_shared<Credentials>(std::move(*own));
  return OkStatus();
}

Result<std::string> MeshAuthority::IssueTo(const std::string& node_id,
                                           const std::string& public_key,
                                           int64_t now_unix_s) const {
  CertificateOrder order;
  order.public_key = public_key;
  order.identity = {credentials_->self().mesh, Role::kNode, node_id};
  order.now_unix_s = now_unix_s;
  return IssueCertificate(authority_pem_, authority_key_pem_, order);
}

Status MeshAuthority::RenewOwn(int64_t now_unix_s) {
  const OwnIdentity own = credentials_->own();
  // One from the future was made while the clock was wrong.
  ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificate(own.certificate_pem));
  const bool lasts = own.not_after_unix_s - now_unix_s > kRenewDays * kSecondsPerDay;
  if (lasts && facts.not_before_unix_s <= now_unix_s) return OkStatus();
  CertificateOrder order;
  ASSIGN_OR_RETURN(order.public_key, PublicKeyOf(own.key_pem));
  order.identity = own.self;
  order.now_unix_s = now_unix_s;
  ASSIGN_OR_RETURN(const std::string certificate,
                   IssueCertificate(authority_pem_, authority_key_pem_, order));
  RETURN_IF_ERROR(StoreIdentity(folder_, machine_, certificate, authority_pem_));
  credentials_->Renew(certificate, now_unix_s + kCertificateDays * kSecondsPerDay);
  return OkStatus();
}

Result<bool> MeshAuthority::RefreshRevoked() {
  ASSIGN_OR_RETURN(const Roster roster, roster_.Read());
  return credentials_->SetRevoked(roster.RevokedIds());
}

std::string MakeMemberId() { return ToBase32(RandomBytes<kIdBytes>()); }

PairingSecret MakePairingSecret() { return RandomBytes<kSecretBytes>(); }

}  // namespace shoal
