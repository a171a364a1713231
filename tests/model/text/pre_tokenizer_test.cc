// Proves that every pre-tokenizer cuts text into the reference's words, by a golden file made with
// llama.cpp's own splitting (tests/data/tokenizers/pre_tokenizers.json), and in bounded time.
#include "model/text/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

namespace shoal {
namespace {

TEST(PreTokenizerTest, SplitsLikeTheReference) {
  std::ifstream file(SHOAL_TEST_DATA "/tokenizers/pre_tokenizers.json");
  const nlohmann::json golden = nlohmann::json::parse(file);
  const auto texts = golden.at("texts").get<std::vector<std::string>>();
  for (const std::string_view name : PreTokenizerNames()) {
    const Result<PreTokenizer> pre_tokenizer = PreTokenizer::Create(name);
    ASSERT_TRUE(pre_tokenizer.ok()) << pre_tokenizer.error().message;
    const nlohmann::json& words = golden.at("word_bytes").at(std::string(name));
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(pre_tokenizer->Split(texts[i]), words.at(i).get<std::vector<size_t>>())
          << name << ": " << texts[i];
    }
  }
}

TEST(PreTokenizerTest, RefusesUnknownNamesWithAListOfTheKnown) {
  const Result<PreTokenizer> unknown = PreTokenizer::Create("llama9");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code, ErrorCode::kUnimplemented);
  EXPECT_THAT(unknown.error().message, ::testing::HasSubstr("'llama9'"));
  EXPECT_THAT(unknown.error().message, ::testing::HasSubstr("qwen2"));
  EXPECT_TRUE(std::ranges::is_sorted(PreTokenizerNames()));
}

// Each text is one word, or one run that a careless pattern would scan again for each word.
TEST(PreTokenizerTest, LongRunsTakeLinearTime) {
  const size_t bytes = 1 << 18;
  std::string han;
  while (han.size() < bytes) han += "语";
  for (const std::string_view name : PreTokenizerNames()) {
    const Result<PreTokenizer> pre_tokenizer = PreTokenizer::Create(name);
    ASSERT_TRUE(pre_tokenizer.ok());
    for (const std::string& text : {std::string(bytes, ' ') + "x", std::string(bytes, '\n'),
                                    std::string(bytes, '5'), std::string(bytes, 'A'), han}) {
      const std::vector<size_t> words = pre_tokenizer->Split(text);
      EXPECT_EQ(std::accumulate(words.begin(), words.end(), size_t{0}), text.size()) << name;
    }
  }
}

TEST(PreTokenizerTest, ClassViewKeepsLengthAndPlainText) {
  const std::string plain = "abc é 语 🙂 \n";
  EXPECT_EQ(ClassView(plain), plain);
  // U+1E4D0 (a letter since Unicode 15), U+180E (no white space), an encoded surrogate.
  for (const std::string text : {"\xF0\x9E\x93\x90", "\xE1\xA0\x8E", "\xED\xA0\x80"}) {
    EXPECT_NE(ClassView(text), text);
    EXPECT_EQ(ClassView(text).size(), text.size());
  }
}

}  // namespace
}  // namespace shoal
