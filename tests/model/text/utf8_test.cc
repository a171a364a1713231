// Proves that repairing UTF-8 gives what Unicode prescribes (or what the reference tokenizers do),
// by known cases, and that text cut anywhere and repaired piece by piece is the text repaired
// whole.
#include "model/text/utf8.h"

#include <gtest/gtest.h>

#include <iostream>
#include <random>

namespace shoal {
namespace {

TEST(Utf8Test, ReplacesWhatIsNotValid) {
  EXPECT_EQ(ReplaceInvalidUtf8("aé語🙂"), "aé語🙂");
  EXPECT_EQ(ReplaceInvalidUtf8("\x80z"), "\uFFFDz");
  EXPECT_EQ(ReplaceInvalidUtf8("\xC0\x80"), "\uFFFD\uFFFD");            // over-long
  EXPECT_EQ(ReplaceInvalidUtf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");  // surrogate
  EXPECT_EQ(ReplaceInvalidUtf8("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(ReplaceInvalidUtf8("\xE8\xAA"), "\uFFFD");  // a beginning counts as one
  EXPECT_EQ(ReplaceInvalidUtf8("\xF0\x9F\x99z"), "\uFFFDz");
}

TEST(Utf8Test, RepairsAsTheReferenceTokenizersRead) {
  EXPECT_EQ(RepairUtf8("aé語🙂"), "aé語🙂");
  EXPECT_EQ(RepairUtf8("\xC1\x81"), "A");  // over-long forms are read
  EXPECT_EQ(RepairUtf8("\xED\xA0\x80"), "\xED\xA0\x80");
  EXPECT_EQ(RepairUtf8("\xE8\xAA"), "\uFFFD\uFFFD");
  EXPECT_EQ(RepairUtf8("\xFF\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD");
}

TEST(Utf8Test, PiecesAddUpToTheWhole) {
  const uint32_t seed = 3;
  std::cout << "seed " << seed << '\n';
  std::mt19937 random(seed);
  for (int i = 0; i < 20'000; ++i) {
    std::string text(random() % 12, '\0');
    for (char& c : text) c = "a\x80\xA0\x9F\xC3\xE0\xE8\xED\xF0\xF4\xF8\x90"[random() % 12];
    std::string pending;
    std::string pieces;
    for (const char c : text) {
      pending += c;
      const size_t ready = pending.size() - UnfinishedUtf8Bytes(pending);
      pieces += ReplaceInvalidUtf8(pending.substr(0, ready));
      pending.erase(0, ready);
    }
    ASSERT_EQ(pieces + ReplaceInvalidUtf8(pending), ReplaceInvalidUtf8(text));
  }
}

}  // namespace
}  // namespace shoal
