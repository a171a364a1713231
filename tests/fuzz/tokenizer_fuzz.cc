// Any bytes as text, for small byte-level BPE and SentencePiece vocabularies: every id exists,
// plain text comes back from its tokens, and a stream gives valid UTF-8. The first byte chooses the
// tokenizer.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "model/text/tokenizer.h"
#include "model/text/utf8.h"
#include "tests/support/small_vocabulary.h"

namespace {

using shoal::ParseSpecial;
using shoal::Tokenizer;

std::vector<std::unique_ptr<Tokenizer>> LoadAll() {
  std::vector<shoal::SmallVocabulary> vocabularies = {shoal::SmallSpm()};
  for (const char* pre : {"gpt-2", "llama-bpe", "qwen2", "deepseek-llm", "default", "tekken",
                          "kimi-k2", "afmoe", "jais-2", "exaone-moe"}) {
    vocabularies.push_back(shoal::SmallBpe(pre));
  }
  std::vector<std::unique_ptr<Tokenizer>> tokenizers;
  for (const shoal::SmallVocabulary& vocabulary : vocabularies) {
    const shoal::BuiltGguf built = vocabulary.Metadata().Build();
    auto file = shoal::GgufFile::Parse(built.span(), "fuzz.gguf");
    auto tokenizer = Tokenizer::Load(file.value());
    tokenizers.push_back(std::move(tokenizer).value());
  }
  return tokenizers;
}

void CheckStream(const Tokenizer& tokenizer, const std::vector<int32_t>& ids, std::string bytes) {
  if (tokenizer.adds_space_prefix() && bytes.starts_with(' ')) bytes.erase(0, 1);
  shoal::Detokenizer stream(tokenizer);
  std::string text;
  for (const int32_t id : ids) text += stream.Push(id);
  text += stream.Finish();
  CHECK(text == shoal::ReplaceInvalidUtf8(bytes), "a stream gives the bytes of its tokens");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<std::unique_ptr<Tokenizer>> tokenizers = LoadAll();
  if (size == 0) return 0;
  const Tokenizer& tokenizer = *tokenizers[data[0] % tokenizers.size()];
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  for (const ParseSpecial special : {ParseSpecial::kYes, ParseSpecial::kNo}) {
    const std::vector<int32_t> ids = tokenizer.EncodePlain(text, special);
    std::string bytes;
    for (const int32_t id : ids) {
      CHECK(id >= 0 && id < tokenizer.vocab_size(), "an id of the vocabulary");
      bytes += tokenizer.TokenBytes(id);
    }
    CheckStream(tokenizer, ids, bytes);
    static_cast<void>(tokenizer.Decode(ids));
    // "<tool>" is the only text taken out of its surroundings: a broken character on either side of
    // it is repaired by itself.
    if (special == ParseSpecial::kYes || text.find("<tool>") != text.npos) continue;
    if (!tokenizer.adds_space_prefix()) {
      CHECK(bytes == shoal::RepairUtf8(text), "plain text comes back");
    } else if (text == shoal::ReplaceInvalidUtf8(text) && text.find("\xE2\x96\x81") == text.npos) {
      std::string expected = text.empty() ? "" : " ";
      CHECK(bytes == (expected += text), "plain text comes back");
    }
  }
  return 0;
}
