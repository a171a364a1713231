// Proves what metadata decide, on small vocabularies made for each case: special tokens, spaces,
// BOS and EOS, ends of a generation; and that metadata that make no sense give an error that names
// the key, or do no harm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "model/text/tokenizer.h"
#include "tests/support/small_vocabulary.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<std::unique_ptr<Tokenizer>> LoadFrom(const GgufBuilder& builder) {
  const BuiltGguf built = builder.Build();
  Result<GgufFile> file = GgufFile::Parse(built.span(), "small.gguf");
  if (!file.ok()) return file.error();
  return Tokenizer::Load(*file);
}

std::unique_ptr<Tokenizer> MustLoad(const GgufBuilder& builder) {
  Result<std::unique_ptr<Tokenizer>> tokenizer = LoadFrom(builder);
  CHECK(tokenizer.ok(), tokenizer.error().message);
  return std::move(tokenizer).value();
}

std::vector<std::string> TextsOf(const Tokenizer& tokenizer, std::string_view text,
                                 ParseSpecial special) {
  std::vector<std::string> texts;
  for (const int32_t id : tokenizer.EncodePlain(text, special)) {
    texts.emplace_back(tokenizer.TokenText(id));
  }
  return texts;
}

std::string StreamOf(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
  Detokenizer stream(tokenizer);
  std::string text;
  for (const int32_t id : ids) text += stream.Push(id);
  return text + stream.Finish();
}

TEST(TokenizerMetadataTest, MergesByRankThenFromTheLeft) {
  const auto tokenizer = MustLoad(SmallBpe("gpt-2").Metadata());
  EXPECT_THAT(TextsOf(*tokenizer, "the the hello aaaaaaa", ParseSpecial::kNo),
              ElementsAre("the", "Ġthe", "Ġhello", "Ġ", "aaaa", "aa", "a"));
  EXPECT_THAT(TextsOf(*tokenizer, "ethé", ParseSpecial::kNo), ElementsAre("e", "th", "Ã©"));
}

TEST(TokenizerMetadataTest, ControlTokensAreParsedOnRequestAndUserTokensAlways) {
  const auto tokenizer = MustLoad(SmallBpe("gpt-2").Metadata());
  EXPECT_THAT(TextsOf(*tokenizer, "a<s><tool>x<tool>", ParseSpecial::kYes),
              ElementsAre("a", "<s>", "<tool>x", "<tool>"));
  EXPECT_THAT(TextsOf(*tokenizer, "a<s><tool>x<tool>", ParseSpecial::kNo),
              ElementsAre("a", "<", "s", ">", "<tool>x", "<tool>"));
}

TEST(TokenizerMetadataTest, SpacePrefixStandsAtTheStartAndBehindSpecialTokens) {
  GgufBuilder with = SmallSpm().Metadata();
  EXPECT_THAT(TextsOf(*MustLoad(with), "hello<s>the the", ParseSpecial::kYes),
              ElementsAre("▁hello", "<s>", "▁the", "▁the"));
  GgufBuilder without = SmallSpm().Metadata();
  without.AddBool("tokenizer.ggml.add_space_prefix", false);
  EXPECT_THAT(TextsOf(*MustLoad(without), "hello<s>the the", ParseSpecial::kYes),
              ElementsAre("hello", "<s>", "t", "he", "▁the"));
}

TEST(TokenizerMetadataTest, UnknownCharactersFallBackToBytes) {
  const auto tokenizer = MustLoad(SmallSpm().Metadata());
  EXPECT_THAT(TextsOf(*tokenizer, "a語\xFF", ParseSpecial::kNo),
              ElementsAre("▁a", "<0xE8>", "<0xAA>", "<0x9E>", "<0xFF>"));
}

TEST(TokenizerMetadataTest, StreamWaitsForWholeCharacters) {
  const auto tokenizer = MustLoad(SmallSpm().Metadata());
  const std::vector<int32_t> ids = tokenizer->EncodePlain("a語", ParseSpecial::kNo);
  Detokenizer stream(*tokenizer);
  EXPECT_EQ(stream.Push(ids[0]), "a");  // the space prefix is gone
  EXPECT_EQ(stream.Push(ids[1]), "");
  EXPECT_EQ(stream.Push(ids[2]), "");
  EXPECT_EQ(stream.Push(ids[3]), "語");
  EXPECT_EQ(stream.Push(ids[1]), "");
  EXPECT_EQ(stream.Push(ids[0]), "\uFFFD a");
  EXPECT_EQ(stream.Push(*tokenizer->eos()), "");
  EXPECT_EQ(stream.Push(ids[1]), "");
  EXPECT_EQ(stream.Finish(), "\uFFFD");
}

TEST(TokenizerMetadataTest, DecodeCleansUpSpacesWhereTheFamilyDoes) {
  const std::string text = "a , b ! it 's I 'm we 're they 've he 'd x ' y ? z .";
  const auto gpt2 = MustLoad(SmallBpe("gpt-2").Metadata());
  const std::vector<int32_t> ids = gpt2->EncodePlain(text, ParseSpecial::kNo);
  EXPECT_EQ(gpt2->Decode(ids), "a, b! it's I'm we're they've he 'd x'y? z.");
  EXPECT_EQ(StreamOf(*gpt2, ids), text);
  const auto qwen2 = MustLoad(SmallBpe("qwen2").Metadata());
  EXPECT_EQ(qwen2->Decode(qwen2->EncodePlain(text, ParseSpecial::kNo)), text);
}

TEST(TokenizerMetadataTest, Phi3TokensTakeTheWhiteSpaceBehindThem) {
  SmallVocabulary vocabulary = SmallSpm();
  vocabulary.Add("<|end|>", TokenType::kControl);
  GgufBuilder phi3 = vocabulary.Metadata();
  phi3.AddString("general.name", "Phi-3 mini");
  EXPECT_THAT(TextsOf(*MustLoad(phi3), "<|end|> \n  a<s> a", ParseSpecial::kYes),
              ElementsAre("<|end|>", "▁a", "<s>", "▁▁", "a"));
  EXPECT_THAT(TextsOf(*MustLoad(vocabulary.Metadata()), "<|end|> a", ParseSpecial::kYes),
              ElementsAre("<|end|>", "▁▁", "a"));
}

TEST(TokenizerMetadataTest, BosAndEosAreAddedAsMetadataSay) {
  GgufBuilder builder = SmallBpe("gpt-2").Metadata();
  EXPECT_EQ(MustLoad(builder)->Encode("a", ParseSpecial::kNo).size(), 1u);
  builder.AddBool("tokenizer.ggml.add_bos_token", true);
  builder.AddBool("tokenizer.ggml.add_eos_token", true);
  const auto tokenizer = MustLoad(builder);
  EXPECT_THAT(tokenizer->Encode("a", ParseSpecial::kNo),
              ElementsAre(tokenizer->FindToken("<s>"), tokenizer->FindToken("a"),
                          tokenizer->FindToken("</s>")));
  EXPECT_TRUE(MustLoad(SmallBpe("llama3").Metadata())->adds_bos());
}

TEST(TokenizerMetadataTest, EndsAreFoundByKeyAndByText) {
  SmallVocabulary vocabulary = SmallBpe("gpt-2");
  GgufBuilder builder = vocabulary.Metadata();
  builder.AddUint32("tokenizer.ggml.eom_token_id", 5);
  const auto tokenizer = MustLoad(builder);
  EXPECT_THAT(tokenizer->end_ids(),
              ElementsAre(5, *tokenizer->FindToken("</s>"), *tokenizer->FindToken("<|im_end|>")));
  // "<|end|>" ends only a part of a message where "<|return|>" and "<|call|>" end it.
  for (const char* token : {"<|end|>", "<|return|>", "<|call|>"}) {
    vocabulary.Add(token, TokenType::kControl);
  }
  const auto harmony = MustLoad(vocabulary.Metadata());
  EXPECT_FALSE(harmony->EndsGeneration(*harmony->FindToken("<|end|>")));
  EXPECT_TRUE(harmony->EndsGeneration(*harmony->FindToken("<|return|>")));
}

TEST(TokenizerMetadataTest, EveryIdHasATextAndOthersHaveNone) {
  const auto tokenizer = MustLoad(SmallBpe("gpt-2").Metadata());
  for (const int32_t id : {-1, tokenizer->vocab_size(), std::numeric_limits<int32_t>::min(),
                           std::numeric_limits<int32_t>::max()}) {
    EXPECT_EQ(tokenizer->TokenText(id), "");
    EXPECT_EQ(tokenizer->TokenBytes(id), "");
    EXPECT_EQ(tokenizer->Decode(std::vector{id}), "");
  }
  EXPECT_EQ(tokenizer->TokenBytes(*tokenizer->FindToken("<s>")), "");
  EXPECT_EQ(tokenizer->Decode(std::vector{*tokenizer->FindToken("<s>")}), "<s>");
  EXPECT_EQ(tokenizer->FindToken("no such token"), std::nullopt);
}

void ExpectError(const GgufBuilder& builder, const std::string& part) {
  const Result<std::unique_ptr<Tokenizer>> tokenizer = LoadFrom(builder);
  ASSERT_FALSE(tokenizer.ok()) << part;
  EXPECT_THAT(tokenizer.error().message, HasSubstr(part));
}

TEST(TokenizerMetadataTest, BadMetadataGiveErrorsThatNameTheKey) {
  ExpectError(GgufBuilder(), "tokenizer.ggml.model");

  SmallVocabulary vocabulary = SmallBpe("gpt-2");
  vocabulary.model = "bert";
  ExpectError(vocabulary.Metadata(), "'bert' is not supported; supported are: llama, gpt2");
  ExpectError(SmallBpe("gpt-7").Metadata(), "tokenizer.ggml.pre: pre-tokenizer 'gpt-7'");

  vocabulary = SmallBpe("gpt-2");
  vocabulary.types.pop_back();
  ExpectError(vocabulary.Metadata(), "tokenizer.ggml.token_type: 274 types for 275 tokens");
  vocabulary = SmallBpe("gpt-2");
  vocabulary.scores.push_back(0);
  ExpectError(vocabulary.Metadata(), "tokenizer.ggml.scores: 276 scores for 275 tokens");
  vocabulary = SmallSpm();
  vocabulary.scores[7] = std::nanf("");
  ExpectError(vocabulary.Metadata(), "tokenizer.ggml.scores: the score of token 7");
  vocabulary = SmallSpm();
  vocabulary.Add("hello", TokenType::kNormal);
  ExpectError(vocabulary.Metadata(), "tokenizer.ggml.tokens: tokens 269 and 280 are the same");
  vocabulary = SmallVocabulary();
  vocabulary.model = "llama";
  ExpectError(vocabulary.Metadata(), "tokenizer.ggml.tokens: there are none");

  for (const std::string key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.unknown_token_id"}) {
    GgufBuilder builder = SmallBpe("gpt-2").Metadata();
    builder.AddUint32(key, 275);
    ExpectError(builder, key + ": 275 is not in the vocabulary of 275 tokens");
    builder = SmallBpe("gpt-2").Metadata();
    builder.AddInt32(key, -5);
    ExpectError(builder, key + ": -5 is not in the vocabulary of 275 tokens");
    builder = SmallBpe("gpt-2").Metadata();
    builder.AddString(key, "two");
    ExpectError(builder, key);
  }
  GgufBuilder no_merges;
  no_merges.AddString("tokenizer.ggml.model", "gpt2");
  no_merges.AddStrings("tokenizer.ggml.tokens", {"a", "b"});
  ExpectError(no_merges, "tokenizer.ggml.merges");
}

TEST(TokenizerMetadataTest, OddMetadataDoNoHarm) {
  SmallVocabulary bpe = SmallBpe("llama-bpe");
  for (const char* merge : {"", " ", "  ", "a", "a ", " a", "a a a", "no token", "\xFF \xFE"}) {
    bpe.merges.push_back(merge);
  }
  bpe.Add("", TokenType::kControl);
  bpe.Add("\xFF\xFE", TokenType::kUserDefined);
  bpe.Add("broken", static_cast<TokenType>(-77));
  const auto tokenizer = MustLoad(bpe.Metadata());
  EXPECT_THAT(TextsOf(*tokenizer, "no token hello", ParseSpecial::kYes),
              ElementsAre("n", "o", "Ġ", "t", "o", "k", "e", "n", "Ġhello"));
  EXPECT_EQ(tokenizer->TokenBytes(*tokenizer->FindToken("broken")), "");
  EXPECT_THAT(tokenizer->EncodePlain("\xFF\xFE", ParseSpecial::kNo),
              ElementsAre(*tokenizer->FindToken("\xFF\xFE")));

  SmallVocabulary spm = SmallSpm();
  spm.Add("<0xZZ>", TokenType::kByte);
  spm.Add("x", TokenType::kByte);
  spm.Add("aaa", TokenType::kNormal, std::numeric_limits<float>::infinity());
  const auto infinite = MustLoad(spm.Metadata());
  EXPECT_THAT(TextsOf(*infinite, "aaa", ParseSpecial::kNo), ElementsAre("▁", "aaa"));
  EXPECT_EQ(infinite->TokenBytes(*infinite->FindToken("<0xZZ>")), "");

  // Without byte tokens each byte is the unknown token, 0; a default BOS of 1 is not there.
  SmallVocabulary tiny;
  tiny.model = "llama";
  tiny.Add("a", TokenType::kNormal);
  EXPECT_EQ(MustLoad(tiny.Metadata())->Encode("bab", ParseSpecial::kYes),
            std::vector<int32_t>(6, 0));
}

}  // namespace
}  // namespace shoal
