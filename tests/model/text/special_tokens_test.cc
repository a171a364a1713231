// Proves that text is cut at special tokens as the reference cuts it: by hand-made cases, and for
// random texts and vocabularies against the plain algorithm (each token in turn, longest first).
#include "model/text/special_tokens.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <random>
#include <string>

namespace shoal {
namespace {

struct Piece {
  std::string text;
  int32_t id;
  bool operator==(const Piece&) const = default;
};

void PrintTo(const Piece& piece, std::ostream* out) { *out << piece.text << "#" << piece.id; }

Vocabulary VocabularyOf(const std::vector<std::pair<std::string, TokenFlags>>& tokens) {
  Vocabulary vocabulary;
  for (const auto& [text, flags] : tokens) {
    vocabulary.tokens.push_back(text);
    vocabulary.flags.push_back(flags);
  }
  return vocabulary;
}

std::vector<Piece> Split(const Vocabulary& vocabulary, std::string_view text, bool control) {
  const Result<SpecialTokens> specials = SpecialTokens::Create(vocabulary, control);
  CHECK(specials.ok(), "");
  std::vector<Piece> pieces;
  for (const TextPart& part : specials->Split(text)) {
    pieces.push_back({std::string(part.text), part.id});
  }
  return pieces;
}

std::vector<Piece> PlainSplit(const Vocabulary& vocabulary, std::string_view text) {
  std::vector<int32_t> order(vocabulary.tokens.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return vocabulary.tokens[a].size() > vocabulary.tokens[b].size();
  });
  std::vector<Piece> pieces;
  if (!text.empty()) pieces.push_back({std::string(text), -1});
  for (const int32_t id : order) {
    const std::string& token = vocabulary.tokens[id];
    std::vector<Piece> next;
    for (const Piece& piece : pieces) {
      std::string rest = piece.text;
      while (piece.id < 0 && rest.find(token) != std::string::npos) {
        const size_t at = rest.find(token);
        if (at > 0) next.push_back({rest.substr(0, at), -1});
        next.push_back({"", id});
        rest.erase(0, at + token.size());
        if ((vocabulary.flags[id] & kTokenStripsRight) != 0) {
          rest.erase(0, std::min(rest.find_first_not_of(" \n"), rest.size()));
        }
      }
      if (piece.id >= 0 || !rest.empty()) next.push_back({rest, piece.id});
    }
    pieces = next;
  }
  return pieces;
}

TEST(SpecialTokensTest, LongerTokensGoFirst) {
  const Vocabulary vocabulary = VocabularyOf(
      {{"ab", kTokenControl}, {"abc", kTokenUserDefined}, {"bcde", kTokenControl}, {"x", 1}});
  EXPECT_EQ(Split(vocabulary, "abcdexab", true),
            (std::vector<Piece>{{"a", -1}, {"", 2}, {"x", -1}, {"", 0}}));
  EXPECT_EQ(Split(vocabulary, "abcdexab", false), (std::vector<Piece>{{"", 1}, {"dexab", -1}}));
  EXPECT_EQ(Split(vocabulary, "", true), std::vector<Piece>{});
}

TEST(SpecialTokensTest, AgreesWithThePlainAlgorithm) {
  const uint32_t seed = 11;
  std::cout << "seed " << seed << '\n';
  std::mt19937 random(seed);
  const auto random_text = [&](size_t most) {
    std::string text(random() % (most + 1), '\0');
    for (char& c : text) c = "aab \n"[random() % 5];
    return text;
  };
  for (int i = 0; i < 3000; ++i) {
    // One token of each length: the reference does not order equal lengths.
    std::vector<std::pair<std::string, TokenFlags>> tokens;
    for (size_t length = 1; length <= 5; ++length) {
      std::string token = random_text(length);
      token.resize(length, 'b');
      if (random() % 3 != 0) {
        tokens.emplace_back(token,
                            random() % 2 == 0 ? kTokenControl : kTokenControl | kTokenStripsRight);
      }
    }
    const Vocabulary vocabulary = VocabularyOf(tokens);
    const std::string text = random_text(40);
    ASSERT_EQ(Split(vocabulary, text, true), PlainSplit(vocabulary, text)) << text;
  }
}

}  // namespace
}  // namespace shoal
