// The coordinator's side of a mesh on the disk: the authority with its key, the coordinator's own
// identity, and the roster. Made when they are first asked for.
//
// Thread rule: safe from any thread.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/sha256.h"
#include "coordinator/service/roster_file.h"
#include "net/identity/credentials.h"

namespace shoal {

class MeshAuthority {
 public:
  // `folder` is the coordinator's part of the state folder. Errors: as LoadIdentity, but for a
  // coordinator's certificate that ran out, which is renewed.
  static Result<std::unique_ptr<MeshAuthority>> Open(const std::string& folder,
                                                     const std::string& machine,
                                                     int64_t now_unix_s);

  const std::string& folder() const { return folder_; }
  const RosterFile& roster() const { return roster_; }
  // Of the coordinator, with what the roster says of revoked members. Shared with all that dials.
  const std::shared_ptr<Credentials>& credentials() const { return credentials_; }
  const Sha256Digest& fingerprint() const { return fingerprint_; }

  // A certificate for a node, valid from `now_unix_s`.
  Result<std::string> IssueTo(const std::string& node_id, const std::string& public_key,
                              int64_t now_unix_s) const;
  // Renews the coordinator's certificate if it is due.
  Status RenewOwn(int64_t now_unix_s);
  // Reads the roster for revoked members; true if there are others than before.
  Result<bool> RefreshRevoked();

 private:
  explicit MeshAuthority(const std::string& folder)
      : folder_(folder), roster_(folder + "/members.json") {}

  Status LoadOrMake(int64_t now_unix_s);

  const std::string folder_;
  const RosterFile roster_;
  std::string machine_;
  std::string authority_pem_;
  std::string authority_key_pem_;
  Sha256Digest fingerprint_{};
  std::shared_ptr<Credentials> credentials_;
};

// A new id of a member, and a new pairing secret: from the system's randomness.
std::string MakeMemberId();
PairingSecret MakePairingSecret();

}  // namespace shoal
