// Proves the page accounting: admission by what a session may grow to, pages taken only as
// positions are used, zeroed and aligned, given back on close, and never more memory than the
// budget.
#include "model/transformer/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include "model/gguf/kv_type.h"

namespace shoal {
namespace {

constexpr kernels::AttentionShape kShape = {4, 2, 64, 0.125f};
constexpr int64_t kPage = 2 * 2 * 64 * 32 * 2;
constexpr int32_t kLayers = 3;

bool IsZero(const std::byte* page) {
  return std::all_of(page, page + kPage, [](std::byte b) { return b == std::byte{0}; });
}

TEST(KvCacheTest, PagesAreZeroedAlignedAndDistinct) {
  KvCache cache(kShape, kLayers, 100 * kLayers * kPage);
  for (int round = 0; round < 2; ++round) {  // the second finds pages that were used
    KvSession session = cache.Admit(100).value();
    ASSERT_TRUE(session.Grow(1).ok());
    EXPECT_EQ(cache.used_bytes(), kLayers * kPage);
    ASSERT_TRUE(session.Grow(32).ok());
    EXPECT_EQ(cache.used_bytes(), kLayers * kPage);
    ASSERT_TRUE(session.Grow(100).ok());
    EXPECT_EQ(cache.used_bytes(), 4 * kLayers * kPage);
    std::set<const std::byte*> pages;
    for (int32_t layer = 0; layer < kLayers; ++layer) {
      for (int i = 0; i < 4; ++i) {
        std::byte* page = session.pages(layer)[i];
        EXPECT_EQ(reinterpret_cast<uintptr_t>(page) % 64, 0u);
        EXPECT_TRUE(IsZero(page));
        pages.insert(page);
        std::memset(page, 0xff, kPage);
      }
    }
    EXPECT_EQ(pages.size(), 4u * kLayers);
  }
  EXPECT_EQ(cache.used_bytes(), 0);
  EXPECT_EQ(cache.granted_bytes(), 0);
}

// The planner counts by position, the cache by page.
TEST(KvCacheTest, PagesWeighWhatTheirPositionsDo) {
  for (const auto& [kv_type, type] : {std::pair(kernels::KvType::kF16, TensorType::kF16),
                                      std::pair(kernels::KvType::kF32, TensorType::kF32),
                                      std::pair(kernels::KvType::kQ8_0, TensorType::kQ8_0)}) {
    for (const int32_t head_dim : {2, 16, 32, 40, 64, 512}) {
      EXPECT_EQ(kernels::KvPageBytes({6, 3, head_dim, 1, kv_type}),
                kernels::kKvPageTokens * KvBytes(type, 3, head_dim));
    }
  }
}

TEST(KvCacheTest, GrantsCountWholePagesOfEveryLayer) {
  KvCache cache(kShape, kLayers, 5 * kLayers * kPage + kPage - 1);  // 5 per layer
  EXPECT_FALSE(cache.Admit(5 * 32 + 1).ok());
  {
    KvSession first = cache.Admit(33).value();  // 2 pages
    EXPECT_EQ(cache.granted_bytes(), 2 * kLayers * kPage);
    EXPECT_FALSE(cache.Admit(4 * 32).ok());
    KvSession second = cache.Admit(3 * 32).value();
    EXPECT_FALSE(cache.Admit(1).ok());
    KvSession moved = std::move(second);  // hands back once
  }
  EXPECT_EQ(cache.granted_bytes(), 0);
  EXPECT_TRUE(cache.Admit(5 * 32).ok());
}

TEST(KvCacheTest, AnAdmittedSessionAlwaysGrowsToItsGrant) {
  std::mt19937 random(7);
  KvCache cache(kShape, kLayers, 40 * kLayers * kPage);
  std::vector<std::optional<KvSession>> sessions(12);
  for (int i = 0; i < 2000; ++i) {
    std::optional<KvSession>& session = sessions[random() % sessions.size()];
    if (!session) {
      auto admitted = cache.Admit(static_cast<int32_t>(random() % 400 + 1));
      if (admitted.ok()) session.emplace(std::move(admitted).value());
    } else if (random() % 3 == 0) {
      session.reset();
    } else {
      const auto limit = static_cast<uint32_t>(session->context_tokens());
      const auto positions = static_cast<int32_t>(random() % limit + 1);
      ASSERT_TRUE(session->Grow(positions).ok());
    }
    ASSERT_LE(cache.used_bytes(), cache.granted_bytes());
    ASSERT_LE(cache.granted_bytes(), 40 * kLayers * kPage);
  }
}

}  // namespace
}  // namespace shoal
