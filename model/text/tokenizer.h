// Text to token ids and back, from a GGUF file's tokenizer metadata: SentencePiece-style ("llama")
// with byte fallback, and byte-level BPE ("gpt2") with the pre-tokenizer pattern that
// tokenizer.ggml.pre names. Exact: the ids are those of the reference, llama.cpp.
//
// Thread rule: immutable after Load; safe from any thread. Detokenizer belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/gguf/gguf_file.h"
#include "model/text/special_tokens.h"
#include "model/text/vocabulary.h"

namespace shoal {

enum class ParseSpecial { kYes, kNo };  // whether "<|im_end|>" in the text is one control token

class Tokenizer {
 public:
  // Works on vocab-only files. Errors: no tokenizer in the file; a model or pre-tokenizer name that
  // is not supported (the message lists those that are); tokens, scores, types and merges whose
  // lengths disagree; ids out of range. Copies what it needs: the file may be closed afterwards.
  static Result<std::unique_ptr<Tokenizer>> Load(const GgufFile& file);
  virtual ~Tokenizer() = default;

  // Ids of `text`, with the file's BOS in front and EOS behind where it says so. `text` may hold
  // any bytes. O(n log n) in the length.
  std::vector<int32_t> Encode(std::string_view text, ParseSpecial special) const;
  // Without BOS and EOS: for text behind a chat template, which writes its own.
  virtual std::vector<int32_t> EncodePlain(std::string_view text, ParseSpecial special) const = 0;

  // The text of all of `ids`, as the reference's detokenize gives it (special tokens included as
  // their text, clean-up of spaces where the file asks for it). Ids out of range are skipped.
  std::string Decode(std::span<const int32_t> ids) const;

  // The bytes one token stands for in a stream; control tokens give nothing.
  virtual std::string TokenBytes(int32_t id) const = 0;
  // The token as it stands in the vocabulary (for logprobs and error messages).
  std::string_view TokenText(int32_t id) const;

  int32_t vocab_size() const { return static_cast<int32_t>(tokens_.size()); }
  std::optional<int32_t> bos() const { return bos_; }
  std::optional<int32_t> eos() const { return eos_; }
  bool adds_bos() const { return add_bos_; }
  // Whether encoding put a space in front of the text, which decoding takes away again.
  bool adds_space_prefix() const { return add_space_prefix_; }
  // Whether generation stops at this token (EOS, EOT, "<|im_end|>", ...).
  bool EndsGeneration(int32_t id) const;
  // All such ids, ascending.
  std::span<const int32_t> end_ids() const { return end_ids_; }
  std::optional<int32_t> FindToken(std::string_view text) const;

 protected:
  Tokenizer() = default;
  // Takes over `vocabulary` but for its scores. Error: see SpecialTokens.
  Status Adopt(Vocabulary vocabulary);

  const SpecialTokens& SpecialsFor(ParseSpecial special) const {
    return special == ParseSpecial::kYes ? all_specials_ : user_specials_;
  }
  // Whether the token is only shown where special tokens are.
  bool IsHidden(int32_t id) const {
    return HasFlag(id, static_cast<TokenFlags>(kTokenControl | kTokenUnknown));
  }
  bool HasFlag(int32_t id, TokenFlags any_of) const {
    return static_cast<size_t>(id) < flags_.size() && (flags_[id] & any_of) != 0;
  }

  std::vector<std::string> tokens_;
  std::optional<int32_t> bos_, eos_;
  bool add_bos_ = false, add_eos_ = false;
  bool add_space_prefix_ = false;
  bool cleans_up_spaces_ = false;  // in Decode
  std::vector<int32_t> end_ids_;
  std::vector<TokenFlags> flags_;  // one for each token
  TokenIndex ids_;                 // keys view tokens_
  SpecialTokens all_specials_, user_specials_;
};

// Token ids in, text out, piece by piece, never splitting a UTF-8 character: bytes of an unfinished
// character wait for the next token. Bytes that can never become valid UTF-8 become U+FFFD. Special
// tokens give no text. Where the tokenizer adds a space prefix, one space at the start of the
// stream is dropped, since an answer begins a text of its own. Spaces are not cleaned up as Decode
// does it: that would need text still to come.
class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // The text that is complete now; may be empty.
  std::string Push(int32_t id);
  // What still waits (as U+FFFD if it is unfinished); the stream ends.
  std::string Finish();

 private:
  const Tokenizer& tokenizer_;
  std::string pending_;
  bool at_start_ = true;
};

}  // namespace shoal
