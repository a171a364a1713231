// What a process of a mesh shows its peers and demands of them: mutual TLS with the mesh's
// certificates, and a gate that says who may make which call. Peers that were revoked are refused,
// whatever their certificates say.
//
// gRPC 1.51 lets only the process's environment say that TLS 1.2 is not wanted (RequireTls13).
//
// Thread rule: safe from any thread.
#pragma once

#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/identity/identity_files.h"
#include "net/identity/peer_identity.h"

namespace shoal {

enum class Callers { kAnyone, kMembers, kNodes, kCoordinator };

// A call whose path ("/package.Service/Method") begins with `prefix` is for `callers`.
struct CallRule {
  std::string_view prefix;
  Callers callers = Callers::kMembers;
};

// The decision of the gate: what no rule names is refused. `peer` is nothing where the caller has
// shown no certificate. Error: kFailedPrecondition, with the reason.
Status CheckCall(std::span<const CallRule> rules, std::string_view path,
                 const std::optional<PeerIdentity>& peer, const std::string& mesh, bool revoked);

// To be called by main before gRPC makes its first credentials. It leaves TLS 1.2 no cipher that
// works with the keys of a mesh.
void RequireTls13();

// Who is at the other end; nothing for a peer without a certificate of the right form.
std::optional<PeerIdentity> PeerOf(const grpc::AuthContext& context);

class Credentials {
 public:
  explicit Credentials(OwnIdentity own) : own_(std::move(own)) {}

  PeerIdentity self() const;
  OwnIdentity own() const;
  // Dials from now on show this certificate; servers read it from the folder.
  void Renew(const std::string& certificate_pem, int64_t not_after_unix_s);

  bool IsRevoked(const std::string& id) const;
  std::set<std::string> revoked() const;
  // Whether that changed anything.
  bool SetRevoked(std::set<std::string> ids);

  std::shared_ptr<grpc::ChannelCredentials> ForDialling() const;
  // The server asks for certificates, and refuses what `rules` does not allow. `rules` outlives it;
  // `credentials` is kept by the server.
  static std::shared_ptr<grpc::ServerCredentials> ForServing(
      const std::shared_ptr<const Credentials>& credentials, std::span<const CallRule> rules);

 private:
  mutable std::mutex mutex_;  // guards both
  OwnIdentity own_;
  std::set<std::string> revoked_;
};

// As whom to dial, and whom to find there. Without credentials only Unix sockets can be dialled,
// whose peers the file system vouches for.
struct Trust {
  std::shared_ptr<const Credentials> own;  // shared with everything that dials
  Role role = Role::kNode;
  std::string id;

  // The name that the peer's certificate must have. REQUIRES own.
  std::string ExpectedName() const;
};

}  // namespace shoal
