// Proves that token ids and decoded text are the reference's, by golden files that llama.cpp made
// (tests/data/tokenizers: varied texts in four vocabularies), and that text comes back from its
// ids.
#include "model/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "model/text/utf8.h"

namespace shoal {
namespace {

struct Case {
  const char* name;
  std::vector<int32_t> end_ids;  // as llama.cpp determines them
  bool adds_bos;
  bool has_every_byte;  // else some bytes cannot be written, which is no fault of ours
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class TokenizerTest : public ::testing::TestWithParam<Case> {
 protected:
  // Loads each vocabulary once for all tests: under sanitizers that takes most of the time.
  void SetUp() override {
    std::unique_ptr<const Tokenizer>& tokenizer = tokenizers_[GetParam().name];
    if (tokenizer == nullptr) {
      const std::string path = std::string(SHOAL_VOCABULARIES "/") + GetParam().name + ".gguf";
      Result<GgufFile> file = GgufFile::Open(path);
      ASSERT_TRUE(file.ok()) << file.error().message;
      Result<std::unique_ptr<Tokenizer>> loaded = Tokenizer::Load(*file);
      ASSERT_TRUE(loaded.ok()) << loaded.error().message;
      tokenizer = std::move(loaded).value();  // outlives the file
    }
    tokenizer_ = tokenizer.get();
  }
  static void TearDownTestSuite() { tokenizers_.clear(); }

  nlohmann::json GoldenCases() const {
    std::ifstream file(std::string(SHOAL_TEST_DATA "/tokenizers/") + GetParam().name + ".json");
    return nlohmann::json::parse(file).at("cases");
  }

  bool IsSpm() const { return tokenizer_->adds_space_prefix(); }

  std::string JoinedBytes(std::span<const int32_t> ids) const {
    std::string bytes;
    for (const int32_t id : ids) bytes += tokenizer_->TokenBytes(id);
    return bytes;
  }

  static inline std::map<std::string, std::unique_ptr<const Tokenizer>> tokenizers_;
  const Tokenizer* tokenizer_ = nullptr;
};

// What the tokens of `text` stand for where a space is put in front.
std::string WithPrefix(std::string_view text) {
  std::string prefixed = text.empty() ? "" : " ";
  return prefixed += text;
}

// Code points below `limit` but surrogates and control characters; small ones and spaces are
// likely.
std::string RandomText(std::mt19937& random, size_t characters, uint32_t limit) {
  const uint32_t kLimits[] = {0x80, 0x80, 0x250, 0x3000, 0x10000, limit};
  std::string text;
  while (characters-- > 0) {
    uint32_t code_point = random() % kLimits[random() % std::size(kLimits)];
    if (random() % 4 == 0 || code_point < ' ') code_point = " \n\t"[random() % 3];
    if (code_point >= 0xD800 && code_point < 0xE000) code_point = '\n';
    if (code_point == 0x2581) code_point = ' ';  // SentencePiece's own mark
    AppendUtf8(code_point, text);
  }
  return text;
}

TEST_P(TokenizerTest, EncodesLikeTheReference) {
  const nlohmann::json cases = GoldenCases();
  ASSERT_GT(cases.size(), 100u);
  for (const nlohmann::json& golden : cases) {
    const std::string text = golden.at("text");
    EXPECT_EQ(tokenizer_->EncodePlain(text, ParseSpecial::kYes),
              golden.at("ids").get<std::vector<int32_t>>())
        << text;
    EXPECT_EQ(tokenizer_->EncodePlain(text, ParseSpecial::kNo),
              golden.at("ids_plain").get<std::vector<int32_t>>())
        << text;
  }
}

TEST_P(TokenizerTest, DecodesLikeTheReference) {
  for (const nlohmann::json& golden : GoldenCases()) {
    const auto ids = golden.at("ids").get<std::vector<int32_t>>();
    const std::string decoded = golden.at("detok");
    EXPECT_EQ(tokenizer_->Decode(ids), decoded);
    // Piece by piece: where a token is hidden in a stream, the reference shows its text.
    std::string pieces;
    for (const int32_t id : ids) {
      const std::string bytes = tokenizer_->TokenBytes(id);
      pieces += bytes.empty() ? std::string(tokenizer_->TokenText(id)) : bytes;
    }
    EXPECT_EQ(pieces, golden.value("pieces", decoded));
  }
}

TEST_P(TokenizerTest, StreamGivesTheBytesOfItsTokens) {
  for (const nlohmann::json& golden : GoldenCases()) {
    const auto ids = golden.at("ids").get<std::vector<int32_t>>();
    std::string bytes = JoinedBytes(ids);
    if (tokenizer_->adds_space_prefix() && bytes.starts_with(' ')) bytes.erase(0, 1);
    Detokenizer stream(*tokenizer_);
    std::string text;
    for (const int32_t id : ids) {
      const std::string piece = stream.Push(id);
      EXPECT_EQ(ReplaceInvalidUtf8(piece), piece) << "a piece that splits a character";
      text += piece;
    }
    text += stream.Finish();
    EXPECT_EQ(text, ReplaceInvalidUtf8(bytes));
  }
}

TEST_P(TokenizerTest, RandomTextComesBack) {
  const uint32_t seed = 20260115;
  std::cout << "seed " << seed << '\n';
  std::mt19937 random(seed);
  for (int i = 0; i < 300; ++i) {
    const uint32_t limit = GetParam().has_every_byte ? kMaxCodePoint + 1 : 0x40000;
    const std::string text = RandomText(random, random() % 60, limit);
    const std::vector<int32_t> ids = tokenizer_->EncodePlain(text, ParseSpecial::kNo);
    EXPECT_EQ(JoinedBytes(ids), IsSpm() ? WithPrefix(text) : text);
  }
}

TEST_P(TokenizerTest, AnyBytesAreEncoded) {
  std::mt19937 random(7);
  for (int i = 0; i < 300; ++i) {
    std::string text(random() % 40, '\0');
    for (char& c : text) c = static_cast<char>(random() % 3 == 0 ? random() % 128 : random());
    const std::vector<int32_t> ids = tokenizer_->EncodePlain(text, ParseSpecial::kYes);
    for (const int32_t id : ids) {
      EXPECT_GE(id, 0);
      EXPECT_LT(id, tokenizer_->vocab_size());
    }
    const std::vector<int32_t> plain = tokenizer_->EncodePlain(text, ParseSpecial::kNo);
    // SentencePiece writes a space as a character of its own, which a broken one before it takes
    // apart.
    if (IsSpm() && text.find(' ') != std::string::npos) continue;
    // BPE sees U+FFFD where there is no character; SentencePiece keeps each byte.
    if (!GetParam().has_every_byte) continue;
    EXPECT_EQ(JoinedBytes(plain), IsSpm() ? WithPrefix(text) : RepairUtf8(text));
  }
}

// A quadratic step would take many minutes here; CTest's time limit is the measure.
TEST_P(TokenizerTest, LongTextsTakeNearLinearTime) {
  const size_t bytes = 1 << 18;
  std::string alternating;
  while (alternating.size() < bytes) alternating += " \t";
  std::string markers;
  while (markers.size() < bytes) markers += "<|im_end|>";
  for (const std::string& text :
       {std::string(bytes, 'a'), std::string(bytes, ' '), std::string(bytes, '\n'),
        std::string(bytes, '7'), std::string(bytes, '\xE2'), alternating + "x", markers}) {
    const std::vector<int32_t> ids = tokenizer_->EncodePlain(text, ParseSpecial::kYes);
    EXPECT_GT(ids.size(), 100u);
    EXPECT_LE(ids.size(), 3 * bytes + 1);
  }
}

TEST_P(TokenizerTest, KnowsWhatEndsAGeneration) {
  EXPECT_THAT(tokenizer_->end_ids(), ::testing::ElementsAreArray(GetParam().end_ids));
  for (const int32_t id : GetParam().end_ids) EXPECT_TRUE(tokenizer_->EndsGeneration(id));
  EXPECT_FALSE(tokenizer_->EndsGeneration(300));
  EXPECT_FALSE(tokenizer_->EndsGeneration(-1));
}

TEST_P(TokenizerTest, AddsBosWhereTheFileSaysSo) {
  EXPECT_EQ(tokenizer_->adds_bos(), GetParam().adds_bos);
  std::vector<int32_t> expected = tokenizer_->EncodePlain("Hi", ParseSpecial::kYes);
  if (GetParam().adds_bos) expected.insert(expected.begin(), tokenizer_->bos().value());
  EXPECT_EQ(tokenizer_->Encode("Hi", ParseSpecial::kYes), expected);
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, TokenizerTest,
                         ::testing::Values(Case{"llama-bpe", {128001, 128009}, true, true},
                                           Case{"llama-spm", {2}, true, true},
                                           Case{"qwen2", {128247, 151643, 151645}, false, true},
                                           Case{"smollm2", {0, 2, 4}, false, false}),
                         [](const auto& instance) {
                           std::string name = instance.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace shoal
