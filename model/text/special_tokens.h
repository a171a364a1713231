// Finds special tokens in text: where "<|im_end|>" stands, the text is cut and that id put in.
//
// Longer tokens go first wherever they stand, then shorter ones in what is left, each from left to
// right, as the reference does. Time O(n log n) in the text, whatever the tokens: the text is
// scanned once from its end with an Aho-Corasick automaton over the reversed tokens, which gives
// the longest token that starts at each position. Source: Aho & Corasick 1975.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/text/vocabulary.h"

namespace shoal {

// A part of a text: either plain text, or a special token.
struct TextPart {
  std::string_view text;  // a view into the whole text; empty for a special token
  int32_t id = -1;        // of the special token, else -1
};

class SpecialTokens {
 public:
  // Total bytes of the special tokens' texts; published vocabularies have less than 1 MiB.
  static constexpr size_t kMaxBytes = 16 << 20;

  SpecialTokens() = default;

  // Looks for the tokens of `vocabulary` that are special: those that are user-defined, and with
  // `control` those that are control tokens or the unknown token. Error: kMaxBytes.
  static Result<SpecialTokens> Create(const Vocabulary& vocabulary, bool control);

  // The parts of `text` in order, none of them empty.
  std::vector<TextPart> Split(std::string_view text) const;

 private:
  // A state stands for an end of some tokens: the bytes read last, in reverse order.
  struct State {
    int32_t first_child = -1;
    int32_t next_sibling = -1;
    int32_t fail = 0;      // the longest proper beginning (of the text, not the reversed one)
    int32_t token = -1;    // index into tokens_ of the token that is exactly this state
    int32_t shorter = -1;  // the longest beginning that is a token, or -1
    uint8_t byte = 0;
  };
  struct Token {
    int32_t id;
    uint32_t bytes;
    bool strips_right;
  };
  struct Candidate;

  int32_t Child(int32_t state, uint8_t byte) const;
  int32_t Step(int32_t state, uint8_t byte) const;
  int32_t LongestToken(int32_t state) const;
  void AddToken(std::string_view text, int32_t index);
  void LinkStates();
  std::vector<Candidate> FindCandidates(std::string_view text) const;

  std::vector<Token> tokens_;  // longest first: the order in which they are looked for
  std::vector<State> states_;  // 0 is the root
  std::array<int32_t, 256> root_children_{};
};

}  // namespace shoal
