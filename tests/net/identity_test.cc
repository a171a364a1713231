// Proves keys, certificates, pairing codes and the desk that gives them out, on a clock of its own.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <random>

#include "net/identity/base32.h"
#include "net/identity/identity_files.h"
#include "net/identity/pairing_code.h"
#include "net/identity/pairing_desk.h"
#include "net/identity/peer_identity.h"
#include "net/identity/x509.h"
#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kNow = 1'800'000'000;
constexpr const char* kId = "abcdefghijklmno2";
constexpr const char* kMesh = "qrstuvwxyz234567";

struct Mesh {
  std::string key;
  std::string pem;
};

Mesh MakeMesh() {
  Mesh mesh;
  mesh.key = *MakeKey();
  mesh.pem = *MakeAuthority(mesh.key, kNow);
  return mesh;
}

Result<std::string> Issue(const Mesh& mesh, const std::string& key, Role role = Role::kNode) {
  return IssueCertificate(mesh.pem, mesh.key, {*PublicKeyOf(key), {kMesh, role, kId}, kNow});
}

TEST(Base32, KnownValues) {  // RFC 4648, section 10
  const auto encoded = [](std::string_view text) {
    return ToBase32({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  };
  EXPECT_EQ(encoded(""), "");
  EXPECT_EQ(encoded("f"), "my");
  EXPECT_EQ(encoded("fo"), "mzxq");
  EXPECT_EQ(encoded("foobar"), "mzxw6ytboi");
}

TEST(Base32, OneTextForEachValue) {
  for (const char* text : {"a", "aaa", "aaaaaa", "mz", "m1", "m y"}) {
    EXPECT_FALSE(FromBase32(text)) << text;
  }
  EXPECT_EQ(FromBase32("MY"), FromBase32("my"));
}

TEST(PeerIdentity, ComesBack) {
  for (const Role role : {Role::kNode, Role::kCoordinator}) {
    const PeerIdentity identity{kMesh, role, kId};
    const Result<PeerIdentity> read = ParsePeerIdentity(identity.DnsName());
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(*read, identity);
  }
}

TEST(PeerIdentity, OtherNamesAreNone) {
  const std::string id = kId;
  const std::string mesh = kMesh;
  for (const std::string& name :
       {std::string(), id, id + ".node." + mesh, id + ".node." + mesh + ".shoal.org",
        "x." + id + ".node." + mesh + ".shoal", id + ".admin." + mesh + ".shoal",
        "*.node." + mesh + ".shoal", id + ".node..shoal",
        "A" + id.substr(1) + ".node." + mesh + ".shoal"}) {
    EXPECT_FALSE(ParsePeerIdentity(name).ok()) << name;
  }
}

TEST(Certificate, SaysWhoItIsFor) {
  const Mesh mesh = MakeMesh();
  const std::string key = *MakeKey();
  const Result<std::string> pem = Issue(mesh, key, Role::kCoordinator);
  ASSERT_TRUE(pem.ok()) << pem.error().message;
  const CertificateFacts facts = *ReadCertificate(*pem);
  EXPECT_EQ(*facts.Identity(), (PeerIdentity{kMesh, Role::kCoordinator, kId}));
  EXPECT_EQ(facts.public_key, *PublicKeyOf(key));
  EXPECT_EQ(facts.not_after_unix_s, kNow + kCertificateDays * kSecondsPerDay);
  EXPECT_EQ(facts.not_before_unix_s, kNow - kClockSkewS);
  EXPECT_FALSE(facts.authority);
  EXPECT_TRUE(ReadCertificate(mesh.pem)->authority);
  EXPECT_TRUE(CheckIssuedBy(*pem, mesh.pem).ok());
}

TEST(Certificate, OfAnotherAuthorityIsRefused) {
  const Mesh mesh = MakeMesh();
  const Mesh other = MakeMesh();  // of the same name, as every authority
  const std::string pem = *Issue(mesh, *MakeKey());
  EXPECT_FALSE(CheckIssuedBy(pem, other.pem).ok());
  EXPECT_NE(MeshIdOf(*ReadCertificate(mesh.pem)), MeshIdOf(*ReadCertificate(other.pem)));
}

TEST(Certificate, IsForTheNamesAndAddressesInIt) {
  const std::string pem = *MakeSelfSigned(*MakeKey(), {"desk", "10.0.0.2", "::1"}, kNow);
  for (const char* name : {"desk", "DESK", "10.0.0.2", "::1", "0:0:0:0:0:0:0:1"}) {
    EXPECT_TRUE(IsFor(pem, name)) << name;
  }
  for (const char* name : {"disk", "10.0.0.3", "::2", ""}) EXPECT_FALSE(IsFor(pem, name)) << name;
  EXPECT_FALSE(IsFor("no certificate", "desk"));
}

TEST(Certificate, DamagedInputIsAnError) {
  const Mesh mesh = MakeMesh();
  EXPECT_FALSE(ReadCertificate("").ok());
  EXPECT_FALSE(ReadCertificate(mesh.pem.substr(0, mesh.pem.size() / 2)).ok());
  EXPECT_FALSE(ReadCertificate(mesh.key).ok());
  for (const std::string& key : {std::string(), std::string(600, 'x'), std::string(91, '\0')}) {
    EXPECT_FALSE(IssueCertificate(mesh.pem, mesh.key, {key, {kMesh, Role::kNode, kId}, kNow}).ok());
  }
}

TEST(IdentityFiles, ComeBackOnTheSameMachineOnly) {
  const TempDir folder;
  const Mesh mesh = MakeMesh();
  const std::string key = *LoadOrMakeKey(folder.path());
  EXPECT_EQ(*LoadOrMakeKey(folder.path()), key);
  EXPECT_EQ(LoadIdentity(folder.path(), "here", kNow).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(StoreIdentity(folder.path(), "here", *Issue(mesh, key), mesh.pem).ok());
  const Result<OwnIdentity> own = LoadIdentity(folder.path(), "here", kNow);
  ASSERT_TRUE(own.ok()) << own.error().message;
  EXPECT_EQ(own->self.id, kId);
  EXPECT_EQ(own->key_pem, key);
  EXPECT_EQ(own->authority_pem, mesh.pem);
  // A cloned home directory is no second node.
  const Result<OwnIdentity> cloned = LoadIdentity(folder.path(), "there", kNow);
  ASSERT_FALSE(cloned.ok());
  EXPECT_THAT(cloned.error().message, HasSubstr("another machine"));
  EXPECT_TRUE(LoadIdentity(folder.path(), "", kNow).ok());
}

TEST(IdentityFiles, DamageIsNamedWithItsFile) {
  const TempDir folder;
  const Mesh mesh = MakeMesh();
  ASSERT_TRUE(
      StoreIdentity(folder.path(), "here", *Issue(mesh, *LoadOrMakeKey(folder.path())), mesh.pem)
          .ok());
  std::ofstream(KeyPath(folder.path())) << "-----BEGIN PRIVATE KEY-----\n";
  EXPECT_THAT(LoadIdentity(folder.path(), "here", kNow).error().message,
              HasSubstr(KeyPath(folder.path())));
  std::ofstream(ChainPath(folder.path())) << "x";
  EXPECT_THAT(LoadIdentity(folder.path(), "here", kNow).error().message,
              HasSubstr(ChainPath(folder.path())));
}

TEST(IdentityFiles, AreRefusedOnceTheyRanOutOrDoNotFit) {
  const TempDir folder;
  const Mesh mesh = MakeMesh();
  const std::string key = *LoadOrMakeKey(folder.path());
  ASSERT_TRUE(StoreIdentity(folder.path(), "here", *Issue(mesh, key), mesh.pem).ok());
  const int64_t late = kNow + (kCertificateDays + 2) * kSecondsPerDay;
  EXPECT_THAT(LoadIdentity(folder.path(), "here", late).error().message, HasSubstr("2 days ago"));
  ASSERT_TRUE(StoreIdentity(folder.path(), "here", *Issue(mesh, *MakeKey()), mesh.pem).ok());
  EXPECT_THAT(LoadIdentity(folder.path(), "here", kNow).error().message, HasSubstr("the key"));
  ASSERT_TRUE(StoreIdentity(folder.path(), "here", *Issue(mesh, key), MakeMesh().pem).ok());
  EXPECT_FALSE(LoadIdentity(folder.path(), "here", kNow).ok());
}

PairingCode SomeCode() {
  PairingCode code;
  code.addresses = {{"", "192.168.1.20", 7700}, {"", "fd00::1", 7700}, {"", "desk.local", 1}};
  for (size_t i = 0; i < code.pin.size(); ++i) code.pin[i] = static_cast<uint8_t>(i * 17);
  for (size_t i = 0; i < code.secret.size(); ++i) code.secret[i] = static_cast<uint8_t>(i * 29);
  return code;
}

TEST(PairingCode, ComesBackHoweverItIsTyped) {
  const PairingCode code = SomeCode();
  std::string text = EncodePairingCode(code);
  for (const bool lower : {false, true}) {
    if (lower) std::transform(text.begin(), text.end(), text.begin(), ::tolower);
    const Result<PairingCode> read = DecodePairingCode(" " + text + "\n");
    std::replace(text.begin(), text.end(), lower ? 'o' : 'O', '0');
    std::replace(text.begin(), text.end(), lower ? 'i' : 'I', '1');
    EXPECT_EQ(DecodePairingCode(text)->secret, code.secret);
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(read->pin, code.pin);
    EXPECT_EQ(read->secret, code.secret);
    ASSERT_EQ(read->addresses.size(), 3U);
    EXPECT_EQ(read->addresses[1].ToString(), "[fd00::1]:7700");
  }
}

TEST(PairingCode, EveryWrongDigitIsNoticed) {
  const std::string text = EncodePairingCode(SomeCode());
  std::mt19937 random(1);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '-') continue;
    std::string wrong = text;
    do {
      wrong[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[random() % 32];
    } while (wrong[i] == text[i]);
    const Result<PairingCode> read = DecodePairingCode(wrong);
    ASSERT_FALSE(read.ok()) << i;
    EXPECT_EQ(read.error().message.find(wrong.substr(0, 11)), std::string::npos) << "quotes it";
    EXPECT_FALSE(DecodePairingCode(text.substr(0, i)).ok()) << i;
  }
}

// A device with a key of its own that wants to become `new_id` by a code.
Result<std::string> Redeem(PairingDesk& desk, const PairingSecret& secret, const std::string& key,
                           const std::string& new_id, int64_t now_s) {
  return desk.Redeem([&](const PairingSecret& issued) { return issued == secret; }, key, new_id,
                     now_s);
}

TEST(PairingDesk, ACodeWorksOnceAndForTenMinutes) {
  PairingDesk desk;
  const PairingSecret first{1};
  const PairingSecret second{2};
  const auto redeem = [&](const PairingSecret& secret, int64_t now_s) {
    static int devices = 0;
    return Redeem(desk, secret, fmt::format("key {}", ++devices), "id", now_s);
  };
  desk.Issue(first, kNow);
  desk.Issue(second, kNow);
  EXPECT_THAT(redeem({3}, kNow).error().message, HasSubstr("not one of"));
  EXPECT_TRUE(redeem(first, kNow + kCodeLifeS).ok());
  EXPECT_THAT(redeem(first, kNow).error().message, HasSubstr("used before"));
  const Result<std::string> late = redeem(second, kNow + kCodeLifeS + 1);
  EXPECT_THAT(late.error().message, HasSubstr("expired"));
  // A clock that was set back makes no code young again.
  EXPECT_THAT(redeem(second, kNow - 1).error().message, HasSubstr("set back"));
  // What is forgotten is wrong, not right.
  EXPECT_THAT(redeem(first, kNow + kCodeMemoryS + 1).error().message, HasSubstr("not one of"));
}

TEST(PairingDesk, TheKeyThatUsedACodeGetsTheSameIdAgainWhileTheCodeLives) {
  PairingDesk desk;
  const PairingSecret secret{1};
  desk.Issue(secret, kNow);
  EXPECT_EQ(*Redeem(desk, secret, "key", "first", kNow), "first");
  EXPECT_EQ(*Redeem(desk, secret, "key", "second", kNow + kCodeLifeS), "first");
  EXPECT_THAT(Redeem(desk, secret, "other", "third", kNow).error().message,
              HasSubstr("used before"));
  EXPECT_EQ(*Redeem(desk, secret, "key", "fourth", kNow), "first") << "the other left no trace";
  for (const int64_t now_s : {kNow - 1, kNow + kCodeLifeS + 1}) {
    EXPECT_THAT(Redeem(desk, secret, "key", "late", now_s).error().message,
                HasSubstr("used before"));
  }
}

TEST(PairingDesk, ACodeThatNoKeyIsKnownOfIsUsedForGood) {  // as older builds kept them
  PairingDesk desk({{{1}, kNow, true, "", ""}});
  for (const char* key : {"key", ""}) {
    EXPECT_THAT(Redeem(desk, {1}, key, "id", kNow).error().message, HasSubstr("used before"));
  }
}

TEST(PairingDesk, RemembersAsManyAsItMay) {
  PairingDesk desk;
  for (size_t i = 0; i < 2 * kMaxCodes; ++i) desk.Issue({static_cast<uint8_t>(i)}, kNow);
  EXPECT_EQ(desk.codes().size(), kMaxCodes);
  EXPECT_EQ(desk.codes().back().secret[0], 2 * kMaxCodes - 1);
}

TEST(TryLimiter, SlowsOneSourceThenAll) {
  TryLimiter limiter;
  for (size_t i = 0; i < kMaxTriesPerSource; ++i) {
    ASSERT_TRUE(limiter.MayTry("a", kNow).ok());
    limiter.Failed("a", kNow);
  }
  EXPECT_EQ(limiter.MayTry("a", kNow).error().code, ErrorCode::kResourceExhausted);
  EXPECT_TRUE(limiter.MayTry("b", kNow).ok());
  for (size_t i = 0; i < kMaxTries; ++i) limiter.Failed(fmt::format("{}", i), kNow + 1);
  EXPECT_FALSE(limiter.MayTry("b", kNow + 1).ok());
  EXPECT_TRUE(limiter.MayTry("a", kNow + 1 + kTryWindowS).ok());
}

TEST(PairingProof, IsBoundToSecretKeyAndAuthority) {
  const PairingSecret secret{1};
  const Sha256Digest proof = PairingProof(secret, "key", Sha256Digest{});
  EXPECT_TRUE(SameProof(proof, PairingProof(secret, "key", Sha256Digest{})));
  EXPECT_FALSE(SameProof(proof, PairingProof({2}, "key", Sha256Digest{})));
  EXPECT_FALSE(SameProof(proof, PairingProof(secret, "kez", Sha256Digest{})));
  EXPECT_FALSE(SameProof(proof, PairingProof(secret, "key", Sha256Digest{1})));
}

}  // namespace
}  // namespace shoal
