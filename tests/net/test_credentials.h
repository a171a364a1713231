// A small mesh for tests of channels: one node's credentials, which serve and dial.
#pragma once

#include <memory>
#include <string>

#include "base/wall_clock.h"
#include "net/identity/credentials.h"
#include "net/identity/x509.h"
#include "tests/support/temp_dir.h"

namespace shoal {

class TestCredentials {
 public:
  TestCredentials() {
    const int64_t now = UnixNowS();
    const std::string authority_key = *MakeKey();
    const std::string authority = *MakeAuthority(authority_key, now);
    CertificateOrder order;
    order.public_key = *PublicKeyOf(*LoadOrMakeKey(folder_.path()));
    order.identity = {MeshIdOf(*ReadCertificate(authority)), Role::kNode, "abcdefghijklmno2"};
    order.now_unix_s = now;
    const std::string certificate = *IssueCertificate(authority, authority_key, order);
    CHECK(StoreIdentity(folder_.path(), "", certificate, authority).ok(), "stored");
    credentials_ = std::make_shared<Credentials>(*LoadIdentity(folder_.path(), "", now));
  }

  Trust trust() const { return {credentials_, Role::kNode, credentials_->self().id}; }
  Credentials& credentials() const { return *credentials_; }
  // Every member may call everything.
  std::shared_ptr<grpc::ServerCredentials> server() const {
    static constexpr CallRule kRules[] = {{"/", Callers::kMembers}};
    return Credentials::ForServing(credentials_, kRules);
  }

 private:
  TempDir folder_;
  std::shared_ptr<Credentials> credentials_;
};

}  // namespace shoal
