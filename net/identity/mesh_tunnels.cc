#include "net/identity/mesh_tunnels.h"

#include "base/wall_clock.h"
#include "net/identity/x509.h"

namespace shoal {

namespace {

constexpr size_t kLengthBytes = 2;

struct Proof {
  std::string certificate_pem;
  std::string_view signature;
};

Result<Proof> ParseProof(std::string_view bytes) {
  if (bytes.size() < kLengthBytes) return InvalidArgument("the proof is too short");
  const auto size = static_cast<size_t>(static_cast<uint8_t>(bytes[0])) |
                    static_cast<size_t>(static_cast<uint8_t>(bytes[1])) << 8;
  bytes.remove_prefix(kLengthBytes);
  if (size > bytes.size()) return InvalidArgument("the proof ends within its certificate");
  return Proof{std::string(bytes.substr(0, size)), bytes.substr(size)};
}

}  // namespace

Result<std::string> MeshTunnels::Prove(std::string_view text) const {
  const OwnIdentity own = own_->own();
  ASSIGN_OR_RETURN(const std::string signature, Sign(own.key_pem, text));
  const std::string& certificate = own.certificate_pem;
  std::string proof;
  proof += static_cast<char>(certificate.size() & 0xff);
  proof += static_cast<char>(certificate.size() >> 8);
  proof += certificate + signature;
  if (proof.size() > kMaxProofBytes)
    return InternalError("the certificate is too long for a proof");
  return proof;
}

Status MeshTunnels::Verify(const TunnelPreamble& preamble, std::string_view text) const {
  ASSIGN_OR_RETURN(const Proof proof, ParseProof(preamble.proof));
  RETURN_IF_ERROR(CheckIssuedBy(proof.certificate_pem, own_->own().authority_pem));
  ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificate(proof.certificate_pem));
  const int64_t now_unix_s = UnixNowS();
  if (now_unix_s < facts.not_before_unix_s || now_unix_s > facts.not_after_unix_s) {
    return FailedPrecondition("the certificate is not valid now");
  }
  ASSIGN_OR_RETURN(const PeerIdentity peer, facts.Identity());
  if (peer != PeerIdentity{preamble.mesh, Role::kNode, preamble.node}) {
    return FailedPrecondition("the certificate is " + peer.DnsName() + "'s");
  }
  if (own_->IsRevoked(peer.id)) return FailedPrecondition("this node was revoked");
  return CheckSignature(proof.certificate_pem, text, proof.signature);
}

}  // namespace shoal
