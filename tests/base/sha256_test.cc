// Proves the hash against the examples published with FIPS 180-4, however the input is cut.
#include "base/sha256.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

namespace shoal {
namespace {

std::span<const std::byte> AsBytes(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(Sha256, MatchesThePublishedExamples) {
  EXPECT_EQ(ToHex(Sha256Of(std::string_view())),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(ToHex(Sha256Of(AsBytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(ToHex(Sha256Of(AsBytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(ToHex(Sha256Of(AsBytes(std::string(1'000'000, 'a')))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, DoesNotDependOnHowTheInputIsCut) {
  const std::string text(300, 'x');
  const Sha256Digest whole = Sha256Of(AsBytes(text));
  for (size_t piece = 1; piece <= text.size(); ++piece) {
    Sha256 hash;
    for (size_t at = 0; at < text.size(); at += piece) {
      hash.Update(AsBytes(std::string_view(text).substr(at, piece)));
    }
    hash.Update({});
    EXPECT_EQ(hash.Finish(), whole) << piece;
  }
}

TEST(Sha256, ReadsWhatItWritesInEitherCase) {
  const Sha256Digest digest = Sha256Of(AsBytes("abc"));
  const std::string hex = ToHex(digest);
  std::string upper = hex;
  std::transform(upper.begin(), upper.end(), upper.begin(), ::toupper);
  EXPECT_EQ(Sha256FromHex(hex), digest);
  EXPECT_EQ(Sha256FromHex(upper), digest);
  EXPECT_FALSE(Sha256FromHex(hex.substr(1)));
  EXPECT_FALSE(Sha256FromHex("g" + hex.substr(1)));
  EXPECT_FALSE(Sha256FromHex("G" + hex.substr(1)));
}

}  // namespace
}  // namespace shoal
