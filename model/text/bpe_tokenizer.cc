#include "model/text/bpe_tokenizer.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "model/text/byte_token.h"
#include "model/text/pre_tokenizer.h"
#include "model/text/utf8.h"

namespace shoal {

namespace {

// GPT-2's alphabet: printable Latin-1 characters stand for themselves, every other byte for one of
// the characters from U+0100 on.
class ByteAlphabet {
 public:
  ByteAlphabet() {
    bytes_.fill(-1);
    uint32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool printable =
          (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      const uint32_t code_point = printable ? static_cast<uint32_t>(byte) : next++;
      AppendUtf8(code_point, characters_[byte]);
      bytes_[code_point] = static_cast<int16_t>(byte);
    }
  }

  // The character that stands for `byte`, as UTF-8.
  const std::string& CharacterOf(char byte) const {
    return characters_[static_cast<uint8_t>(byte)];
  }

  // What a token stands for. A character outside the alphabet stands for itself.
  std::string Decode(std::string_view token) const {
    std::string bytes;
    for (size_t offset = 0; offset < token.size();) {
      const Utf8Char c = DecodeLenient(token, offset);
      const size_t length = std::max<size_t>(c.bytes, 1);
      if (c.bytes > 0 && c.code_point < bytes_.size() && bytes_[c.code_point] >= 0) {
        bytes.push_back(static_cast<char>(bytes_[c.code_point]));
      } else {
        bytes.append(token, offset, length);
      }
      offset += length;
    }
    return bytes;
  }

 private:
  std::array<std::string, 256> characters_;
  std::array<int16_t, 0x150> bytes_{};  // by code point; -1: not in the alphabet
};

// The ranked pairs, over pieces: a piece is a token (its id) or a string that only merges know (a
// number behind the vocabulary).
class MergeTable {
 public:
  struct Merge {
    int32_t rank;
    int32_t merged;  // piece
  };

  // `ids` outlives the table.
  MergeTable(const TokenIndex& ids, int32_t vocab_size) : ids_(&ids), vocab_size_(vocab_size) {}

  // The piece of `text`, made if need be.
  int32_t Intern(std::string_view text) {
    const auto it = ids_->find(text);
    if (it != ids_->end()) return it->second;
    const auto [extra, inserted] =
        extra_ids_.emplace(text, vocab_size_ + static_cast<int32_t>(extra_texts_.size()));
    if (inserted) extra_texts_.push_back(&extra->first);
    return extra->second;
  }

  // `line` is two texts with a space between; the space is not the first byte. Any other line
  // merges nothing, and of equal lines the first counts.
  void AddLine(std::string_view line, int32_t rank) {
    const size_t space = line.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == line.size()) return;
    const std::string_view left = line.substr(0, space);
    const std::string_view right = line.substr(space + 1);
    const uint64_t key = Key(Intern(left), Intern(right));
    std::string merged(left);
    merged += right;
    merges_.emplace(key, Merge{rank, Intern(merged)});
  }

  void Reserve(size_t lines) { merges_.reserve(lines); }

  const Merge* Find(int32_t left, int32_t right) const {
    const auto it = merges_.find(Key(left, right));
    return it == merges_.end() ? nullptr : &it->second;
  }

  bool IsToken(int32_t piece) const { return piece < vocab_size_; }
  // REQUIRES !IsToken(piece).
  const std::string& ExtraText(int32_t piece) const { return *extra_texts_[piece - vocab_size_]; }

 private:
  static uint64_t Key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  }

  const TokenIndex* ids_;
  int32_t vocab_size_;
  std::unordered_map<std::string, int32_t> extra_ids_;
  std::vector<const std::string*> extra_texts_;  // keys of extra_ids_
  std::unordered_map<uint64_t, Merge> merges_;
};

// Merges the pieces of one word after another; keeps its memory in between.
class WordMerger {
 public:
  explicit WordMerger(const MergeTable& merges) : merges_(merges) {}

  // Calls emit(piece) for each piece that is left of `pieces` when nothing merges any more.
  template <typename Emit>
  void Merge(const std::vector<int32_t>& pieces, Emit emit) {
    const auto count = static_cast<int32_t>(pieces.size());
    symbols_.clear();
    heap_.clear();
    for (int32_t i = 0; i < count; ++i) {
      symbols_.push_back({pieces[i], i - 1, i + 1 < count ? i + 1 : -1});
    }
    for (int32_t i = 1; i < count; ++i) AddPair(i - 1, i);
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end());
      const Pair pair = heap_.back();
      heap_.pop_back();
      Symbol& left = symbols_[pair.left];
      Symbol& right = symbols_[pair.right];
      if (left.piece != pair.left_piece || right.piece != pair.right_piece) continue;
      left.piece = pair.merged;
      left.next = right.next;
      right.piece = kGone;
      if (left.next >= 0) symbols_[left.next].previous = pair.left;
      AddPair(left.previous, pair.left);
      AddPair(pair.left, left.next);
    }
    for (int32_t i = count == 0 ? -1 : 0; i >= 0; i = symbols_[i].next) emit(symbols_[i].piece);
  }

 private:
  static constexpr int32_t kGone = -1;

  struct Symbol {
    int32_t piece;  // kGone: merged into the symbol before it
    int32_t previous;
    int32_t next;
  };
  struct Pair {
    int32_t rank;
    int32_t left;
    int32_t right;
    int32_t left_piece;  // if it differs from what the symbol now is, one of the two was merged
    int32_t right_piece;
    int32_t merged;

    // For a heap: the lowest rank first, then the leftmost.
    bool operator<(const Pair& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };

  void AddPair(int32_t left, int32_t right) {
    if (left < 0 || right < 0) return;
    const int32_t left_piece = symbols_[left].piece;
    const int32_t right_piece = symbols_[right].piece;
    const MergeTable::Merge* merge = merges_.Find(left_piece, right_piece);
    if (merge == nullptr) return;
    heap_.push_back({merge->rank, left, right, left_piece, right_piece, merge->merged});
    std::push_heap(heap_.begin(), heap_.end());
  }

  const MergeTable& merges_;
  std::vector<Symbol> symbols_;
  std::vector<Pair> heap_;
};

class BpeTokenizer final : public Tokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> Create(Vocabulary vocabulary,
                                                   PreTokenizer pre_tokenizer,
                                                   const std::vector<std::string_view>& merges) {
    auto tokenizer = std::unique_ptr<BpeTokenizer>(new BpeTokenizer(std::move(pre_tokenizer)));
    RETURN_IF_ERROR(tokenizer->Adopt(std::move(vocabulary)));
    tokenizer->Prepare(merges);
    return std::unique_ptr<Tokenizer>(std::move(tokenizer));
  }

  std::vector<int32_t> EncodePlain(std::string_view text, ParseSpecial special) const override {
    std::vector<int32_t> ids;
    WordMerger merger(*merges_);
    std::vector<int32_t> pieces;
    for (const TextPart& part : SpecialsFor(special).Split(text)) {
      if (part.id >= 0) {
        ids.push_back(part.id);
        continue;
      }
      const std::string repaired = RepairUtf8(part.text);
      std::string_view rest = repaired;
      for (const size_t length : pre_tokenizer_.Split(repaired)) {
        EncodeWord(rest.substr(0, length), merger, pieces, ids);
        rest.remove_prefix(length);
      }
    }
    return ids;
  }

  std::string TokenBytes(int32_t id) const override {
    if (id < 0 || id >= vocab_size() || IsHidden(id)) return {};
    if (HasFlag(id, kTokenUserDefined)) return tokens_[id];
    if (HasFlag(id, kTokenNormal)) return alphabet_.Decode(tokens_[id]);
    if (!HasFlag(id, kTokenByte)) return {};
    const std::optional<char> byte = ByteOfToken(tokens_[id]);
    return byte.has_value() ? std::string(1, *byte) : std::string();
  }

 private:
  explicit BpeTokenizer(PreTokenizer pre_tokenizer) : pre_tokenizer_(std::move(pre_tokenizer)) {}

  void Prepare(const std::vector<std::string_view>& merges) {
    cleans_up_spaces_ = pre_tokenizer_.traits().cleans_up_spaces;
    for (const std::string& token : tokens_) {
      longest_token_bytes_ = std::max(longest_token_bytes_, token.size());
    }
    merges_.emplace(ids_, vocab_size());
    for (int byte = 0; byte < 256; ++byte) {
      byte_pieces_[byte] = merges_->Intern(alphabet_.CharacterOf(static_cast<char>(byte)));
    }
    merges_->Reserve(merges.size());
    for (size_t i = 0; i < merges.size(); ++i) {
      merges_->AddLine(merges[i], static_cast<int32_t>(i));
    }
  }

  void EncodeWord(std::string_view word, WordMerger& merger, std::vector<int32_t>& pieces,
                  std::vector<int32_t>& ids) const {
    if (pre_tokenizer_.traits().ignore_merges && word.size() <= longest_token_bytes_) {
      std::string token;
      for (const char byte : word) token += alphabet_.CharacterOf(byte);
      const std::optional<int32_t> id = FindToken(token);
      if (id.has_value()) {
        ids.push_back(*id);
        return;
      }
    }
    pieces.clear();
    for (const char byte : word) pieces.push_back(byte_pieces_[static_cast<uint8_t>(byte)]);
    merger.Merge(pieces, [&](int32_t piece) { AppendPiece(piece, ids); });
  }

  // A piece that is no token is written as the tokens of single bytes of its text, as far as they
  // exist; complete vocabularies never need this.
  void AppendPiece(int32_t piece, std::vector<int32_t>& ids) const {
    if (merges_->IsToken(piece)) {
      ids.push_back(piece);
      return;
    }
    for (const char& byte : merges_->ExtraText(piece)) {
      const std::optional<int32_t> id = FindToken(std::string_view(&byte, 1));
      if (id.has_value()) ids.push_back(*id);
    }
  }

  const ByteAlphabet alphabet_;
  PreTokenizer pre_tokenizer_;
  std::optional<MergeTable> merges_;  // set by Prepare
  std::array<int32_t, 256> byte_pieces_{};
  size_t longest_token_bytes_ = 0;
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> LoadBpeTokenizer(const GgufFile& file) {
  ASSIGN_OR_RETURN(const std::string_view named, file.StringOr("tokenizer.ggml.pre", "default"));
  Result<PreTokenizer> pre_tokenizer = PreTokenizer::Create(named.empty() ? "default" : named);
  if (!pre_tokenizer.ok()) {
    return pre_tokenizer.error().WithContext(file.path() + ": metadata tokenizer.ggml.pre");
  }
  const PreTokenizerTraits& traits = pre_tokenizer->traits();
  constexpr int32_t kDefaultId = 11;  // GPT-2 conversions that name neither
  VocabularyDefaults defaults = {.bos = kDefaultId, .eos = kDefaultId, .add_bos = traits.adds_bos};
  if (!traits.has_default_bos) defaults.bos.reset();
  ASSIGN_OR_RETURN(Vocabulary vocabulary, LoadVocabulary(file, defaults));
  ASSIGN_OR_RETURN(const std::vector<std::string_view> merges,
                   file.Strings("tokenizer.ggml.merges"));
  return BpeTokenizer::Create(std::move(vocabulary), std::move(pre_tokenizer).value(), merges);
}

}  // namespace shoal
