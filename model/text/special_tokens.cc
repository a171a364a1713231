#include "model/text/special_tokens.h"

#include <fmt/format.h>

#include <algorithm>

namespace shoal {

namespace {

// White space as the C locale has it.
bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

// A place where a token may stand. The best is the one of the longest token, then the leftmost.
struct SpecialTokens::Candidate {
  int32_t state;
  int32_t token;  // index into tokens_
  size_t begin;

  // For a heap, whose front is the greatest element.
  bool operator<(const Candidate& other) const {
    return token != other.token ? token > other.token : begin > other.begin;
  }
};

Result<SpecialTokens> SpecialTokens::Create(const Vocabulary& vocabulary, bool control) {
  SpecialTokens result;
  size_t bytes = 0;
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const TokenFlags flags = vocabulary.flags[i];
    const bool hidden = (flags & (kTokenControl | kTokenUnknown)) != 0;
    if (!(hidden ? control : (flags & kTokenUserDefined) != 0)) continue;
    const size_t size = vocabulary.tokens[i].size();
    bytes += size;
    if (bytes > kMaxBytes) {
      return ResourceExhausted(fmt::format(
          "tokenizer.ggml.tokens: the special tokens' texts are longer than {} bytes", kMaxBytes));
    }
    result.tokens_.push_back(
        {static_cast<int32_t>(i), static_cast<uint32_t>(size), (flags & kTokenStripsRight) != 0});
  }
  std::stable_sort(result.tokens_.begin(), result.tokens_.end(),
                   [](const Token& a, const Token& b) { return a.bytes > b.bytes; });
  result.states_.reserve(bytes + 1);
  result.states_.emplace_back();
  result.root_children_.fill(-1);
  for (size_t i = 0; i < result.tokens_.size(); ++i) {
    result.AddToken(vocabulary.tokens[result.tokens_[i].id], static_cast<int32_t>(i));
  }
  result.LinkStates();
  return result;
}

int32_t SpecialTokens::Child(int32_t state, uint8_t byte) const {
  if (state == 0) return root_children_[byte];
  int32_t child = states_[state].first_child;
  while (child >= 0 && states_[child].byte != byte) child = states_[child].next_sibling;
  return child;
}

void SpecialTokens::AddToken(std::string_view text, int32_t index) {
  int32_t state = 0;
  for (auto it = text.rbegin(); it != text.rend(); ++it) {
    const auto byte = static_cast<uint8_t>(*it);
    int32_t child = Child(state, byte);
    if (child < 0) {
      child = static_cast<int32_t>(states_.size());
      states_.push_back({.next_sibling = states_[state].first_child, .byte = byte});
      states_[state].first_child = child;
      if (state == 0) root_children_[byte] = child;
    }
    state = child;
  }
  states_[state].token = index;
}

void SpecialTokens::LinkStates() {
  std::vector<int32_t> queue = {0};  // breadth first: a state's links lead to states before it
  for (size_t i = 0; i < queue.size(); ++i) {
    const int32_t parent = queue[i];
    for (int32_t child = states_[parent].first_child; child >= 0;
         child = states_[child].next_sibling) {
      State& state = states_[child];
      state.fail = parent == 0 ? 0 : Step(states_[parent].fail, state.byte);
      state.shorter = LongestToken(state.fail);
      queue.push_back(child);
    }
  }
}

int32_t SpecialTokens::Step(int32_t state, uint8_t byte) const {
  for (;;) {
    const int32_t child = Child(state, byte);
    if (child >= 0) return child;
    if (state == 0) return 0;
    state = states_[state].fail;
  }
}

int32_t SpecialTokens::LongestToken(int32_t state) const {
  return states_[state].token >= 0 ? state : states_[state].shorter;
}

std::vector<SpecialTokens::Candidate> SpecialTokens::FindCandidates(std::string_view text) const {
  std::vector<Candidate> candidates;
  int32_t state = 0;
  for (size_t begin = text.size(); begin-- > 0;) {
    state = Step(state, static_cast<uint8_t>(text[begin]));
    const int32_t longest = LongestToken(state);
    if (longest >= 0) candidates.push_back({longest, states_[longest].token, begin});
  }
  return candidates;
}

std::vector<TextPart> SpecialTokens::Split(std::string_view text) const {
  if (text.empty()) return {};
  if (tokens_.empty()) return {{text}};
  std::vector<Candidate> heap = FindCandidates(text);
  if (heap.empty()) return {{text}};
  std::make_heap(heap.begin(), heap.end());

  // Bytes that belong to an accepted token or are stripped behind one. Accepted tokens are at least
  // as long as any candidate still to come, so to overlap one means to have an end inside it.
  std::vector<bool> taken(text.size(), false);
  std::vector<Candidate> accepted;
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    Candidate candidate = heap.back();
    heap.pop_back();
    if (taken[candidate.begin]) continue;
    if (taken[candidate.begin + tokens_[candidate.token].bytes - 1]) {
      const int32_t shorter = states_[candidate.state].shorter;
      if (shorter < 0) continue;
      heap.push_back({shorter, states_[shorter].token, candidate.begin});
      std::push_heap(heap.begin(), heap.end());
      continue;
    }
    const Token& token = tokens_[candidate.token];
    size_t end = candidate.begin + token.bytes;
    std::fill(taken.begin() + candidate.begin, taken.begin() + end, true);
    if (token.strips_right) {
      while (end < text.size() && !taken[end] && IsSpace(text[end])) taken[end++] = true;
    }
    accepted.push_back(candidate);
  }
  std::sort(accepted.begin(), accepted.end(),
            [](const Candidate& a, const Candidate& b) { return a.begin < b.begin; });

  std::vector<TextPart> parts;
  size_t end = 0;  // of what is done
  const auto add_text_until = [&](size_t next) {
    while (end < next && taken[end]) ++end;  // stripped
    if (end < next) parts.push_back({text.substr(end, next - end)});
  };
  for (const Candidate& candidate : accepted) {
    add_text_until(candidate.begin);
    parts.push_back({{}, tokens_[candidate.token].id});
    end = candidate.begin + tokens_[candidate.token].bytes;
  }
  add_text_until(text.size());
  return parts;
}

}  // namespace shoal
