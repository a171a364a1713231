// Cuts text into the words within which byte-level BPE merges, by the pattern that
// tokenizer.ggml.pre names.
//
// The patterns are those of the models' published tokenizer files as llama.cpp applies them: where
// the two differ (llama.cpp does not tell upper from lower case outside ASCII in the tekken and
// o200k families), its words are produced, since its conversions are what GGUF files were tested
// with. Unicode classes are those of Unicode 15.1 whatever the PCRE2 library knows.
//
// Thread rule: immutable after Create; safe from any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace shoal {

// What else the name of a pre-tokenizer decides.
struct PreTokenizerTraits {
  bool ignore_merges = false;    // a word that is a token is that token, merges or not
  bool adds_bos = false;         // unless metadata says otherwise
  bool cleans_up_spaces = true;  // when tokens are turned back into text
  bool has_default_bos = true;   // token 11, unless metadata says otherwise
};

class PreTokenizer {
 public:
  // Error: kUnimplemented for an unknown name; the message lists the known ones.
  static Result<PreTokenizer> Create(std::string_view name);

  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  const PreTokenizerTraits& traits() const { return traits_; }

  // Lengths in bytes of the words of `text`, in order; they add up to all of it.
  // REQUIRES `text` as RepairUtf8 gives it.
  std::vector<size_t> Split(std::string_view text) const;

 private:
  class Step;
  PreTokenizer(PreTokenizerTraits traits, std::vector<Step> steps);

  PreTokenizerTraits traits_;
  std::vector<Step> steps_;  // each cuts the words of the one before
};

// One cut: what matches `pattern` and what lies between matches become words of their own.
struct SplitRule {
  std::string pattern;  // PCRE2 syntax
  // A match is cut further, into three characters each from its end, and what lies in front of it
  // stays with the first of these.
  bool digit_triples = false;
};

struct PreTokenizerSpec {
  std::vector<SplitRule> rules;
  PreTokenizerTraits traits;
};

// The entry of the table; kUnimplemented as above.
Result<PreTokenizerSpec> FindPreTokenizer(std::string_view name);

// Every name that is supported, in alphabetical order.
std::vector<std::string_view> PreTokenizerNames();

// `text` with each character that PCRE2 would class otherwise than Unicode 15.1 does replaced by
// one of the right class and as many bytes. For matching only.
std::string ClassView(std::string_view text);

}  // namespace shoal
