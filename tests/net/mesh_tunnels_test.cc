// Proves that a hub believes a node only with a proof by that node, for that connection: everything
// else about a proof is changed in turn.
#include "net/identity/mesh_tunnels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/net/test_credentials.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

class MeshTunnelsTest : public ::testing::Test {
 protected:
  // What a node sends for a connection with this nonce.
  static TunnelPreamble Claim(const TestCredentials& node, const TunnelNonce& nonce) {
    TunnelPreamble preamble;
    preamble.mesh = node.trust().own->self().mesh;
    preamble.node = node.trust().id;
    preamble.proof = *MeshTunnels(node.trust().own).Prove(SignedText(nonce, preamble));
    return preamble;
  }
  std::string Refusal(const TunnelPreamble& preamble, const TunnelNonce& nonce) const {
    const Status verified = hub_.Verify(preamble, SignedText(nonce, preamble));
    return verified.ok() ? "" : verified.error().message;
  }

  const TestCredentials member_;
  const MeshTunnels hub_{member_.trust().own};
  const TunnelNonce nonce_{1, 2, 3};
};

TEST_F(MeshTunnelsTest, BelievesAMember) { EXPECT_EQ(Refusal(Claim(member_, nonce_), nonce_), ""); }

TEST_F(MeshTunnelsTest, AProofHoldsForOneConnectionAndOneClaim) {
  const TunnelPreamble claim = Claim(member_, nonce_);
  EXPECT_THAT(Refusal(claim, TunnelNonce{1, 2, 4}), HasSubstr("signature"));
  TunnelPreamble other = claim;
  other.purpose = TunnelPurpose::kRelay;
  other.target = "abcdefghijklmno3";
  EXPECT_THAT(Refusal(other, nonce_), HasSubstr("signature"));
  other = claim;
  other.node = "abcdefghijklmno3";
  EXPECT_THAT(Refusal(other, nonce_), HasSubstr("abcdefghijklmno2"));
}

TEST_F(MeshTunnelsTest, AnotherMeshProvesNothing) {
  const TestCredentials stranger;
  TunnelPreamble claim = Claim(stranger, nonce_);
  EXPECT_THAT(Refusal(claim, nonce_), HasSubstr("not issued by this mesh"));
  claim.mesh = member_.trust().own->self().mesh;
  EXPECT_THAT(Refusal(claim, nonce_), HasSubstr("not issued by this mesh"));
  // A member's certificate, which is no secret, with another key's signature.
  TunnelPreamble forged = Claim(member_, nonce_);
  const size_t certificate_bytes = 2 + member_.trust().own->own().certificate_pem.size();
  forged.proof = forged.proof.substr(0, certificate_bytes) +
                 *Sign(stranger.trust().own->own().key_pem, SignedText(nonce_, forged));
  EXPECT_THAT(Refusal(forged, nonce_), HasSubstr("signature"));
}

TEST_F(MeshTunnelsTest, ARevokedNodeIsRefused) {
  ASSERT_TRUE(member_.credentials().SetRevoked({member_.trust().id}));
  EXPECT_THAT(Refusal(Claim(member_, nonce_), nonce_), HasSubstr("revoked"));
}

TEST_F(MeshTunnelsTest, NoCutOfAProofIsOne) {
  TunnelPreamble claim = Claim(member_, nonce_);
  const std::string whole = claim.proof;
  for (size_t size = 0; size < whole.size(); ++size) {
    claim.proof = whole.substr(0, size);
    ASSERT_NE(Refusal(claim, nonce_), "") << size;
  }
  claim.proof = std::string(300, '\xff');
  EXPECT_NE(Refusal(claim, nonce_), "");
}

}  // namespace
}  // namespace shoal
