#include "net/identity/credentials.h"

#include <fmt/format.h>
#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <cstdlib>
#include <utility>

namespace shoal {

namespace {

constexpr unsigned int kReloadS = 10;
constexpr const char* kDnsProperty = GRPC_X509_SAN_PROPERTY_NAME;

bool IsAllowed(Callers callers, const std::optional<PeerIdentity>& peer) {
  switch (callers) {
    case Callers::kAnyone: return true;
    case Callers::kMembers: return peer.has_value();
    case Callers::kNodes: return peer && peer->role == Role::kNode;
    case Callers::kCoordinator: return peer && peer->role == Role::kCoordinator;
  }
  return false;
}

// Runs once for each call, before its handler.
class CallGate final : public grpc::AuthMetadataProcessor {
 public:
  CallGate(std::shared_ptr<const Credentials> credentials, std::span<const CallRule> rules)
      : credentials_(std::move(credentials)), rules_(rules) {}

  bool IsBlocking() const override { return false; }

  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* context,
                       OutputMetadata* /*consumed*/, OutputMetadata* /*response*/) override {
    const auto path = metadata.find(":path");
    if (path == metadata.end()) return {grpc::PERMISSION_DENIED, "a call without a path"};
    const std::optional<PeerIdentity> peer = PeerOf(*context);
    const Status checked =
        CheckCall(rules_, {path->second.data(), path->second.size()}, peer,
                  credentials_->self().mesh, peer && credentials_->IsRevoked(peer->id));
    if (checked.ok()) return grpc::Status::OK;
    return {peer ? grpc::PERMISSION_DENIED : grpc::UNAUTHENTICATED, checked.error().message};
  }

 private:
  const std::shared_ptr<const Credentials> credentials_;
  const std::span<const CallRule> rules_;
};

}  // namespace

Status CheckCall(std::span<const CallRule> rules, std::string_view path,
                 const std::optional<PeerIdentity>& peer, const std::string& mesh, bool revoked) {
  for (const CallRule& rule : rules) {
    if (path.substr(0, rule.prefix.size()) != rule.prefix) continue;
    if (rule.callers == Callers::kAnyone) return OkStatus();
    if (!peer) return FailedPrecondition("this call needs a certificate of the mesh");
    if (peer->mesh != mesh) {
      return FailedPrecondition(
          fmt::format("the caller is of mesh {}, this is mesh {}", peer->mesh, mesh));
    }
    if (revoked) {
      return FailedPrecondition(fmt::format("{} {} was revoked: it is no longer part of the mesh",
                                            RoleName(peer->role), peer->id));
    }
    if (IsAllowed(rule.callers, peer)) return OkStatus();
    return FailedPrecondition(
        fmt::format("{} {} may not call {}", RoleName(peer->role), peer->id, rule.prefix));
  }
  return FailedPrecondition("nobody may make this call");
}

void RequireTls13() {
  // Ciphers for RSA keys; the mesh's are on an elliptic curve. TLS 1.3 has a list of its own.
  ::setenv("GRPC_SSL_CIPHER_SUITES", "ECDHE-RSA-AES256-GCM-SHA384", 1);
}

std::optional<PeerIdentity> PeerOf(const grpc::AuthContext& context) {
  if (!context.IsPeerAuthenticated()) return std::nullopt;
  const std::vector<grpc::string_ref> names = context.FindPropertyValues(kDnsProperty);
  if (names.size() != 1) return std::nullopt;
  const Result<PeerIdentity> peer = ParsePeerIdentity({names[0].data(), names[0].size()});
  return peer.ok() ? std::optional(*peer) : std::nullopt;
}

PeerIdentity Credentials::self() const {
  const std::lock_guard lock(mutex_);
  return own_.self;
}

OwnIdentity Credentials::own() const {
  const std::lock_guard lock(mutex_);
  return own_;
}

void Credentials::Renew(const std::string& certificate_pem, int64_t not_after_unix_s) {
  const std::lock_guard lock(mutex_);
  own_.certificate_pem = certificate_pem;
  own_.not_after_unix_s = not_after_unix_s;
}

bool Credentials::IsRevoked(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  return revoked_.contains(id);
}

std::set<std::string> Credentials::revoked() const {
  const std::lock_guard lock(mutex_);
  return revoked_;
}

bool Credentials::SetRevoked(std::set<std::string> ids) {
  const std::lock_guard lock(mutex_);
  return std::exchange(revoked_, std::move(ids)) != revoked_;
}

std::shared_ptr<grpc::ChannelCredentials> Credentials::ForDialling() const {
  const OwnIdentity own = this->own();
  return grpc::SslCredentials(
      {own.authority_pem, own.key_pem, own.certificate_pem + own.authority_pem});
}

std::shared_ptr<grpc::ServerCredentials> Credentials::ForServing(
    const std::shared_ptr<const Credentials>& credentials, std::span<const CallRule> rules) {
  const std::string folder = credentials->own().folder;
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          KeyPath(folder), ChainPath(folder), AuthorityPath(folder), kReloadS));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  std::shared_ptr<grpc::ServerCredentials> server =
      grpc::experimental::TlsServerCredentials(options);
  server->SetAuthMetadataProcessor(std::make_shared<CallGate>(credentials, rules));
  return server;
}

std::string Trust::ExpectedName() const {
  return PeerIdentity{own->self().mesh, role, id}.DnsName();
}

}  // namespace shoal
