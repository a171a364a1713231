// Proves that text streams give exactly the answer's text, whatever way tokens cut it: stop strings
// that span tokens or look alike, characters that span tokens. Oracle: a search of the whole text,
// over random texts and stop strings of two letters, seeded.
#include "coordinator/text_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/coordinator/tiny_text_model.h"

namespace shoal {
namespace {

struct Heard {
  std::vector<std::string> pieces;  // one for each token
  std::string text;                 // all of them and the tail
  std::string tail;
  int finishes = 0;
  FinishReason reason = FinishReason::kError;
};

class RecordingSink final : public TextSink {
 public:
  explicit RecordingSink(Heard& heard) : heard_(heard) {}
  void OnText(std::string_view text, const SampledToken&) override {
    heard_.pieces.emplace_back(text);
    heard_.text += text;
  }
  void OnFinish(std::string_view tail, FinishReason reason, const std::optional<Error>&,
                const GenerationStats&) override {
    heard_.tail = tail;
    heard_.text += tail;
    heard_.reason = reason;
    ++heard_.finishes;
  }

 private:
  Heard& heard_;
};

class TextStreamTest : public testing::Test {
 protected:
  // Streams `tokens` as the engine does, and ends with `reason` if no stop string came.
  Heard Stream(const std::vector<int32_t>& tokens, std::vector<std::string> stop_strings,
               FinishReason reason = FinishReason::kEndToken) {
    Heard heard;
    TextStream stream(model_->tokenizer(), std::move(stop_strings),
                      std::make_unique<RecordingSink>(heard));
    for (const int32_t id : tokens) {
      SampledToken token;
      token.token = id;
      if (stream.OnToken(token)) continue;
      reason = FinishReason::kStopped;
      break;
    }
    stream.OnFinish(reason, std::nullopt, {});
    return heard;
  }

  const std::unique_ptr<TextModel> model_ = MakeTinyTextModel();
};

TEST_F(TextStreamTest, PassesTokensOnAtOnce) {
  const Heard heard = Stream({TinyTokens::kHello, TinyTokens::kWorld}, {});
  EXPECT_THAT(heard.pieces, testing::ElementsAre("Hello", " world"));
  EXPECT_EQ(heard.tail, "");
  EXPECT_EQ(heard.reason, FinishReason::kEndToken);
  EXPECT_EQ(heard.finishes, 1);
}

TEST_F(TextStreamTest, NeverSplitsACharacter) {
  const Heard heard = Stream(ByteTokens("a\xE2\x82\xAC"
                                        "b"),
                             {});  // a, the euro sign, b
  EXPECT_THAT(heard.pieces, testing::ElementsAre("a", "", "", "\xE2\x82\xAC", "b"));
}

TEST_F(TextStreamTest, ReplacesACharacterThatNeverEnds) {
  const Heard heard = Stream(ByteTokens("a\xE2\x82"), {}, FinishReason::kLength);
  EXPECT_EQ(heard.text, "a\xEF\xBF\xBD");
  EXPECT_EQ(heard.reason, FinishReason::kLength);
}

TEST_F(TextStreamTest, StopsWithinATokenAndAcrossTokens) {
  const Heard heard = Stream({TinyTokens::kAbStop, TinyTokens::kStopTail}, {"STOP"});
  EXPECT_THAT(heard.pieces, testing::ElementsAre("ab", ""));
  EXPECT_EQ(heard.text, "ab");
  EXPECT_EQ(heard.reason, FinishReason::kStopped);

  EXPECT_EQ(Stream({TinyTokens::kHello}, {"ll"}).text, "He");
}

TEST_F(TextStreamTest, GivesBackWhatDidNotBecomeAStopString) {
  const Heard heard = Stream(ByteTokens("STOSTX"), {"STOP"});
  EXPECT_THAT(heard.pieces, testing::ElementsAre("", "", "", "STO", "", "STX"));

  const Heard at_end = Stream(ByteTokens("abST"), {"STOP"}, FinishReason::kLength);
  EXPECT_EQ(at_end.tail, "ST");
  EXPECT_EQ(at_end.text, "abST");
  EXPECT_EQ(at_end.reason, FinishReason::kLength);
}

TEST_F(TextStreamTest, TheFirstStopStringInTheTextCounts) {
  EXPECT_EQ(Stream({TinyTokens::kAbStop}, {"TO", "bS"}).text, "a");
  EXPECT_EQ(Stream(ByteTokens("xaab"), {"aab", "ab"}).text, "x");
}

TEST_F(TextStreamTest, AStopStringThatOnlyTheEndCompletes) {
  // An unfinished character becomes U+FFFD when the stream ends.
  const Heard heard = Stream(ByteTokens("a\xE2"), {"\xEF\xBF\xBD"}, FinishReason::kLength);
  EXPECT_EQ(heard.text, "a");
  EXPECT_EQ(heard.reason, FinishReason::kStopped);
}

TEST_F(TextStreamTest, EqualsTheWholeTextCutWhereAStopStringIsFirstComplete) {
  std::mt19937 random(20261122);
  const auto below = [&random](int limit) { return static_cast<int>(random() % limit); };
  const auto word = [&](int longest) {
    std::string text;
    for (int length = 1 + below(longest); length > 0; --length) text += "ab"[below(2)];
    return text;
  };
  int stopped = 0;
  for (int round = 0; round < 3000; ++round) {
    const std::string text = word(24);
    std::vector<std::string> stops;
    for (int count = below(4); count > 0; --count) stops.push_back(word(6));
    size_t cut = std::string::npos;
    for (size_t end = 0; end <= text.size() && cut == std::string::npos; ++end) {
      const std::string_view so_far = std::string_view(text).substr(0, end);
      for (const std::string& stop : stops) {
        if (so_far.ends_with(stop)) cut = std::min(cut, end - stop.size());
      }
    }
    const Heard heard = Stream(ByteTokens(text), stops, FinishReason::kLength);
    SCOPED_TRACE(text + " stop " + testing::PrintToString(stops));
    ASSERT_EQ(heard.text, text.substr(0, cut));
    ASSERT_EQ(heard.reason,
              cut == std::string::npos ? FinishReason::kLength : FinishReason::kStopped);
    stopped += cut != std::string::npos;
  }
  EXPECT_GT(stopped, 500);  // the generator makes both kinds
  EXPECT_LT(stopped, 2500);
}

}  // namespace
}  // namespace shoal
