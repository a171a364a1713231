// Proves that packed pieces come back as they were, that nothing a peer sends makes more memory
// than the piece may have (a decompression bomb is refused), when packing pays, and that the limit
// on uploads holds over any time.
#include "net/piece_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/token_bucket.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

std::string Pack(const std::string& text) {
  return PackPiece(std::as_bytes(std::span(text))).value();
}

TEST(PieceCodec, GivesBackWhatWasPacked) {
  const std::string text(100'000, 'x');
  const std::string packed = Pack(text);
  EXPECT_LT(packed.size(), text.size());
  const auto raw = UnpackPiece(packed, static_cast<int64_t>(text.size()), 1 << 20);
  ASSERT_TRUE(raw.ok()) << raw.error().message;
  EXPECT_EQ(*raw, text);
}

TEST(PieceCodec, DoesNotPackWhatGetsNoShorter) {
  std::string noise(10'000, '\0');
  uint32_t state = 1;
  for (char& byte : noise) byte = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  EXPECT_FALSE(PackPiece(std::as_bytes(std::span(noise))));
}

TEST(PieceCodec, TrapDecompressionBombIsRefused) {
  const std::string bomb = Pack(std::string(64 << 20, '\0'));  // some kilobytes
  EXPECT_LT(bomb.size(), 1U << 14);
  const auto honest = UnpackPiece(bomb, 64 << 20, 4 << 20);
  ASSERT_FALSE(honest.ok());
  EXPECT_THAT(honest.error().message, HasSubstr("expected 1 to 4194304"));
  const auto lying = UnpackPiece(bomb, 4 << 20, 4 << 20);
  ASSERT_FALSE(lying.ok());
  EXPECT_EQ(lying.error().code, ErrorCode::kDataLoss);
}

TEST(PieceCodec, DamageIsAnError) {
  const std::string text(1000, 'x');
  const std::string packed = Pack(text);
  EXPECT_FALSE(UnpackPiece(packed, 999, 1 << 20).ok());
  EXPECT_FALSE(UnpackPiece(packed, 1001, 1 << 20).ok());
  EXPECT_FALSE(UnpackPiece(packed, 0, 1 << 20).ok());
  EXPECT_FALSE(UnpackPiece(packed, -1, 1 << 20).ok());
  EXPECT_FALSE(UnpackPiece("", 1000, 1 << 20).ok());
  EXPECT_FALSE(UnpackPiece(packed.substr(0, packed.size() / 2), 1000, 1 << 20).ok());
  EXPECT_FALSE(UnpackPiece("not zstd", 1000, 1 << 20).ok());
}

TEST(PieceCodec, PackingPaysOnSlowLinksOnly) {
  EXPECT_TRUE(PackingPays(0.8, 300e6, 12.5e6));    // dense weights, 100 Mbit/s
  EXPECT_FALSE(PackingPays(0.8, 300e6, 125e6));    // the same at 1 Gbit/s
  EXPECT_FALSE(PackingPays(0.99, 300e6, 12.5e6));  // 4-bit weights
}

TEST(TokenBucket, HoldsTheRateOverAnyTime) {
  constexpr int64_t kRate = 1000;
  constexpr int64_t kBurst = 500;
  TokenBucket bucket(kRate, kBurst);
  int64_t now_ns = 5 * kNsPerS;
  const int64_t start_ns = now_ns;
  int64_t sent = 0;
  for (int i = 0; i < 200; ++i) {
    const int64_t bytes = 1 + i * 37 % 300;
    const int64_t wait_ns = bucket.Take(bytes, now_ns);
    ASSERT_GE(wait_ns, 0);
    now_ns += wait_ns;
    sent += bytes;
    const double allowed = static_cast<double>(now_ns - start_ns) / kNsPerS * kRate + kBurst + 1;
    ASSERT_LE(static_cast<double>(sent), allowed) << i;
    if (i % 50 == 49) now_ns += 10 * kNsPerS;  // a pause fills the bucket, never more
  }
  EXPECT_EQ(TokenBucket(kRate, kBurst).Take(kBurst, now_ns), 0);
}

}  // namespace
}  // namespace shoal
