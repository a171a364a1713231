// A GGUF file's vocabulary, checked and with the reference's corrections applied: which tokens are
// special, which end a generation. What both kinds of tokenizer share.
//
// Source: the GGUF specification's tokenizer keys; the rules that go by a token's text or the
// model's name are those of llama.cpp (facts about published files that no metadata key states).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "model/gguf/gguf_file.h"

namespace shoal {

// A set of TokenFlag bits.
using TokenFlags = uint8_t;

enum TokenFlag : TokenFlags {
  kTokenNormal = 1,
  kTokenUnknown = 2,
  kTokenControl = 4,
  kTokenUserDefined = 8,
  kTokenByte = 16,
  kTokenStripsRight = 32,  // white space behind the token belongs to it
};

// What holds where the file does not say otherwise; it depends on the kind of tokenizer.
struct VocabularyDefaults {
  std::optional<int32_t> bos = std::nullopt;
  std::optional<int32_t> eos = std::nullopt;
  std::optional<int32_t> unknown = std::nullopt;
  bool add_bos = false;
  bool add_space_prefix = false;
};

using TokenIndex = std::unordered_map<std::string_view, int32_t>;

struct Vocabulary {
  static constexpr size_t kMaxTokens = 1 << 22;

  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default;  // a move keeps `ids` valid, a copy would not
  Vocabulary& operator=(Vocabulary&&) = default;

  std::vector<std::string> tokens;
  std::vector<TokenFlags> flags;  // one for each token
  std::vector<float> scores;      // one for each token; never NaN
  TokenIndex ids;                 // keys view `tokens`, which are all different
  std::optional<int32_t> bos, eos, unknown;
  bool add_bos = false;
  bool add_eos = false;
  bool add_space_prefix = false;
  std::vector<int32_t> end_ids;  // ascending
};

// Errors: a key is missing or of the wrong type, lengths that disagree, the same token twice, an id
// out of range, a score that is not a number; each names the key.
Result<Vocabulary> LoadVocabulary(const GgufFile& file, const VocabularyDefaults& defaults);

// The ids named by metadata, as far as they bear on which tokens end a generation.
struct NamedIds {
  std::optional<int32_t> eot, eom;
  std::optional<int32_t> fim_prefix, fim_suffix, fim_middle, fim_pad, fim_repository, fim_file;
};

// Finds the tokens that end a generation by `named` and by their texts, fills vocabulary.end_ids,
// and corrects the flags of tokens that published files mark wrongly.
void ApplyWellKnownTokens(NamedIds named, Vocabulary& vocabulary);

}  // namespace shoal
