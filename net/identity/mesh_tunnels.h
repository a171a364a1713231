// Proof of who dials a hub: a signature with the key of the mesh's certificate, which goes with it.
//
// Thread rule: any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/identity/credentials.h"
#include "net/tunnel/authenticator.h"

namespace shoal {

// A proof: u16 bytes of certificate (little endian), the certificate (PEM), the signature.
class MeshTunnels final : public TunnelAuthenticator {
 public:
  explicit MeshTunnels(std::shared_ptr<const Credentials> own) : own_(std::move(own)) {}

  Result<std::string> Prove(std::string_view text) const override;
  // Errors say what is missing: a certificate of this mesh, valid now, of the node that the
  // preamble names, which is not revoked; a signature made with its key.
  Status Verify(const TunnelPreamble& preamble, std::string_view text) const override;

 private:
  const std::shared_ptr<const Credentials> own_;  // shared with everything that dials
};

}  // namespace shoal
