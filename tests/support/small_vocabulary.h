// Small complete tokenizers as GGUF metadata, for tests that need no real vocabulary.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/gguf_builder.h"

namespace shoal {

// The numbers of tokenizer.ggml.token_type.
enum class TokenType : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

struct SmallVocabulary {
  std::string model;
  std::string pre;  // empty: no such key
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<TokenType> types;
  std::vector<std::string> merges;

  void Add(std::string_view token, TokenType type, float score = 0);
  // The keys of a file with this vocabulary. BOS is "<s>" and EOS "</s>" where they exist.
  GgufBuilder Metadata() const;
};

// Byte-level BPE: 256 bytes, a few merges ("Ġthe", "hello", runs of 'a' and of spaces), the control
// tokens "<s>", "</s>", "<|im_end|>", and the user-defined "<tool>" and "<tool>x".
SmallVocabulary SmallBpe(std::string_view pre);

// SentencePiece style: "<unk>", "<s>", "</s>", 256 byte tokens, some characters and words, and the
// user-defined "<tool>".
SmallVocabulary SmallSpm();

}  // namespace shoal
