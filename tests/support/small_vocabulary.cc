#include "tests/support/small_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>

namespace shoal {

namespace {

// GPT-2's character for a byte, as UTF-8.
std::string ByteCharacter(int byte) {
  static constexpr auto kPrintable = [](int b) {
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
  };
  int code_point = byte;
  if (!kPrintable(byte)) {
    code_point = 0x100;
    for (int b = 0; b < byte; ++b) code_point += kPrintable(b) ? 0 : 1;
  }
  if (code_point < 0x80) return std::string(1, static_cast<char>(code_point));
  return {static_cast<char>(0xC0 | (code_point >> 6)),
          static_cast<char>(0x80 | (code_point & 0x3F))};
}

}  // namespace

void SmallVocabulary::Add(std::string_view token, TokenType type, float score) {
  tokens.emplace_back(token);
  types.push_back(type);
  scores.push_back(score);
}

GgufBuilder SmallVocabulary::Metadata() const {
  GgufBuilder builder;
  builder.AddString("general.architecture", "llama");
  builder.AddString("tokenizer.ggml.model", model);
  if (!pre.empty()) builder.AddString("tokenizer.ggml.pre", pre);
  builder.AddStrings("tokenizer.ggml.tokens", tokens);
  std::vector<std::string> encoded;
  for (const TokenType type : types) encoded.push_back(Encode(static_cast<int32_t>(type)));
  builder.AddRaw("tokenizer.ggml.token_type", GgufTypeNumber::kArray,
                 EncodeArray(GgufTypeNumber::kInt32, encoded));
  encoded.clear();
  for (const float score : scores) encoded.push_back(Encode(score));
  builder.AddRaw("tokenizer.ggml.scores", GgufTypeNumber::kArray,
                 EncodeArray(GgufTypeNumber::kFloat32, encoded));
  if (model == "gpt2") builder.AddStrings("tokenizer.ggml.merges", merges);
  const auto add_id = [&](const std::string& key, std::string_view token) {
    const auto it = std::find(tokens.begin(), tokens.end(), token);
    if (it != tokens.end()) builder.AddUint32(key, static_cast<uint32_t>(it - tokens.begin()));
  };
  add_id("tokenizer.ggml.bos_token_id", "<s>");
  add_id("tokenizer.ggml.eos_token_id", "</s>");
  return builder;
}

SmallVocabulary SmallBpe(std::string_view pre) {
  SmallVocabulary vocabulary;
  vocabulary.model = "gpt2";
  vocabulary.pre = pre;
  for (int byte = 0; byte < 256; ++byte) vocabulary.Add(ByteCharacter(byte), TokenType::kNormal);
  const std::string space = ByteCharacter(' ');
  const std::pair<std::string, std::string> merges[] = {
      {"a", "a"},     {"aa", "aa"},
      {space, space}, {space + space, space + space},
      {"t", "h"},     {"th", "e"},
      {space, "the"}, {"l", "l"},
      {"h", "e"},     {"he", "ll"},
      {"hell", "o"},  {space, "hello"},
      {"1", "2"},     {ByteCharacter(0xC3), ByteCharacter(0xA9)},
  };
  for (const auto& [left, right] : merges) {
    vocabulary.merges.push_back(left + " " + right);
    vocabulary.Add(left + right, TokenType::kNormal);
  }
  for (const char* token : {"<s>", "</s>", "<|im_end|>"}) {
    vocabulary.Add(token, TokenType::kControl);
  }
  for (const char* token : {"<tool>", "<tool>x"}) vocabulary.Add(token, TokenType::kUserDefined);
  return vocabulary;
}

SmallVocabulary SmallSpm() {
  SmallVocabulary vocabulary;
  vocabulary.model = "llama";
  vocabulary.Add("<unk>", TokenType::kUnknown);
  vocabulary.Add("<s>", TokenType::kControl);
  vocabulary.Add("</s>", TokenType::kControl);
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary.Add(fmt::format("<0x{:02X}>", byte), TokenType::kByte);
  }
  float score = 0;
  for (const char* token :
       {"▁t",    "he",     "▁the", "▁▁", "▁▁▁▁", "aa", "aaaa", "▁a", "ll", "hell",
        "hello", "▁hello", "▁",    "a",  "e",    "h",  "l",    "o",  "t",  "é"}) {
    vocabulary.Add(token, TokenType::kNormal, score -= 1);
  }
  vocabulary.Add("<tool>", TokenType::kUserDefined);
  return vocabulary;
}

}  // namespace shoal
