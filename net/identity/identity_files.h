// A process's key and certificate in a folder of its own (mode 0700): key.pem, certificate.pem with
// the authority's behind its own, authority.pem, and `machine`, the mark of the machine they are
// for, so that a copied folder is no second member of the mesh.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "net/identity/peer_identity.h"

namespace shoal {

struct OwnIdentity {
  PeerIdentity self;
  std::string folder;
  std::string key_pem;
  std::string certificate_pem;  // without the authority's
  std::string authority_pem;
  int64_t not_after_unix_s = 0;
};

std::string KeyPath(const std::string& folder);
std::string ChainPath(const std::string& folder);
std::string AuthorityPath(const std::string& folder);

// The mark of this machine: a hash of /etc/machine-id; empty where there is none.
std::string MachineMark();

// Errors: kNotFound if the folder holds no identity; it was made on another machine than `machine`
// (both known); files that are damaged or do not fit each other; a certificate that has run out by
// `now_unix_s`.
Result<OwnIdentity> LoadIdentity(const std::string& folder, const std::string& machine,
                                 int64_t now_unix_s);

// The key in the folder, made if there is none. Makes the folder.
Result<std::string> LoadOrMakeKey(const std::string& folder);

// A new key in the folder, which exists.
Result<std::string> ReplaceKey(const std::string& folder);

// Stores what a key got its certificate from and for. The key must lie there already.
Status StoreIdentity(const std::string& folder, const std::string& machine,
                     const std::string& certificate_pem, const std::string& authority_pem);

}  // namespace shoal
