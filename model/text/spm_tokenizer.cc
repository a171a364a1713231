#include "model/text/spm_tokenizer.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "model/text/byte_token.h"
#include "model/text/utf8.h"

namespace shoal {

namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581 stands for a space in tokens

std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size());
  for (;;) {
    const size_t at = text.find(from);
    out += text.substr(0, at);
    if (at == std::string_view::npos) return out;
    out += to;
    text.remove_prefix(at + from.size());
  }
}

class SpmTokenizer final : public Tokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> Create(Vocabulary vocabulary) {
    auto tokenizer = std::unique_ptr<SpmTokenizer>(new SpmTokenizer());
    tokenizer->scores_ = std::move(vocabulary.scores);
    tokenizer->unknown_ = vocabulary.unknown;
    RETURN_IF_ERROR(tokenizer->Adopt(std::move(vocabulary)));
    tokenizer->FindByteTokens();
    return std::unique_ptr<Tokenizer>(std::move(tokenizer));
  }

  std::vector<int32_t> EncodePlain(std::string_view text, ParseSpecial special) const override {
    std::vector<int32_t> ids;
    bool starts_text = true;
    for (const TextPart& part : SpecialsFor(special).Split(text)) {
      if (part.id >= 0) {
        ids.push_back(part.id);
        starts_text = true;
        continue;
      }
      std::string marked = starts_text && add_space_prefix_ ? std::string(kSpaceMark) : "";
      marked += ReplaceAll(part.text, " ", kSpaceMark);
      EncodeMarked(marked, ids);
      starts_text = false;
    }
    return ids;
  }

  std::string TokenBytes(int32_t id) const override {
    if (id < 0 || id >= vocab_size() || IsHidden(id)) return {};
    if (HasFlag(id, kTokenUserDefined)) return tokens_[id];
    if (HasFlag(id, kTokenNormal)) return ReplaceAll(tokens_[id], kSpaceMark, " ");
    if (!HasFlag(id, kTokenByte)) return {};
    const std::optional<char> byte = ByteOfToken(tokens_[id]);
    return byte.has_value() ? std::string(1, *byte) : std::string();
  }

 private:
  // A part of the text that is one token, or one character.
  struct Symbol {
    size_t begin;
    size_t bytes;  // 0: merged into the symbol before it
    int32_t previous;
    int32_t next;
  };
  // Two neighbours that make a token.
  struct Pair {
    float score;
    int32_t left;
    int32_t right;
    size_t bytes;  // of both; if they differ from what the symbols now have, one was merged

    // For a heap: the highest score first, then the leftmost.
    bool operator<(const Pair& other) const {
      return score != other.score ? score < other.score : left > other.left;
    }
  };

  SpmTokenizer() = default;

  void FindByteTokens() {
    for (int byte = 0; byte < 256; ++byte) {
      std::optional<int32_t> id = FindToken(TokenOfByte(static_cast<uint8_t>(byte)));
      if (!id.has_value()) id = FindToken(std::string(1, static_cast<char>(byte)));
      if (!id.has_value()) id = unknown_;
      byte_tokens_[byte] = id.value_or(-1);
    }
  }

  // `text` has kSpaceMark for spaces.
  void EncodeMarked(std::string_view text, std::vector<int32_t>& ids) const {
    std::vector<Symbol> symbols = SplitCharacters(text);
    std::vector<Pair> heap;
    const auto add_pair = [&](int32_t left, int32_t right) {
      if (left < 0 || right < 0) return false;
      const size_t bytes = symbols[left].bytes + symbols[right].bytes;
      const auto it = ids_.find(text.substr(symbols[left].begin, bytes));
      if (it == ids_.end()) return false;
      heap.push_back({scores_[it->second], left, right, bytes});
      return true;
    };
    for (int32_t i = 1; i < static_cast<int32_t>(symbols.size()); ++i) add_pair(i - 1, i);
    std::make_heap(heap.begin(), heap.end());

    while (!heap.empty()) {
      std::pop_heap(heap.begin(), heap.end());
      const Pair pair = heap.back();
      heap.pop_back();
      Symbol& left = symbols[pair.left];
      Symbol& right = symbols[pair.right];
      if (left.bytes == 0 || right.bytes == 0 || left.bytes + right.bytes != pair.bytes) continue;
      left.bytes = pair.bytes;
      left.next = right.next;
      right.bytes = 0;
      if (left.next >= 0) symbols[left.next].previous = pair.left;
      if (add_pair(left.previous, pair.left)) std::push_heap(heap.begin(), heap.end());
      if (add_pair(pair.left, left.next)) std::push_heap(heap.begin(), heap.end());
    }
    for (const Symbol& symbol : symbols) {
      if (symbol.bytes > 0) AppendSymbol(text.substr(symbol.begin, symbol.bytes), ids);
    }
  }

  static std::vector<Symbol> SplitCharacters(std::string_view text) {
    std::vector<Symbol> symbols;
    symbols.reserve(text.size());
    for (size_t begin = 0; begin < text.size(); begin += symbols.back().bytes) {
      const size_t bytes =
          std::min(Utf8LengthOf(static_cast<uint8_t>(text[begin])), text.size() - begin);
      const auto index = static_cast<int32_t>(symbols.size());
      symbols.push_back({begin, bytes, index - 1, index + 1});
    }
    if (!symbols.empty()) symbols.back().next = -1;
    return symbols;
  }

  void AppendSymbol(std::string_view symbol, std::vector<int32_t>& ids) const {
    const auto it = ids_.find(symbol);
    if (it != ids_.end()) {
      ids.push_back(it->second);
      return;
    }
    for (const char c : symbol) {
      const int32_t id = byte_tokens_[static_cast<uint8_t>(c)];
      if (id >= 0) ids.push_back(id);
    }
  }

  std::vector<float> scores_;
  std::optional<int32_t> unknown_;
  std::array<int32_t, 256> byte_tokens_{};  // -1: the byte cannot be written
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> LoadSpmTokenizer(const GgufFile& file) {
  const VocabularyDefaults defaults = {
      .bos = 1, .eos = 2, .unknown = 0, .add_bos = true, .add_space_prefix = true};
  ASSIGN_OR_RETURN(Vocabulary vocabulary, LoadVocabulary(file, defaults));
  return SpmTokenizer::Create(std::move(vocabulary));
}

}  // namespace shoal
