// Tokens known by their texts alone. The lists are facts about published vocabularies, as llama.cpp
// collected them; a model whose tokens are missing here still stops at its eos, eot and eom ids.
#include <algorithm>
#include <optional>
#include <set>
#include <span>

#include "model/text/vocabulary.h"

namespace shoal {

namespace {

using Texts = std::span<const std::string_view>;

constexpr std::string_view kEndOfTurn[] = {
    "<|eot_id|>",        "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>",
    "<|end_of_text|>",   "<EOT>",      "_<EOT>",  "[EOT]",         "<｜end▁of▁sentence｜>",
    "<end_of_utterance>"};
constexpr std::string_view kEndOfMessage[] = {"<|eom_id|>"};
// These end a generation besides the two lists above.
constexpr std::string_view kOtherEnds[] = {
    "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",        "</s>",
    "[EOS]",      "<eos>",    "<turn|>",   "<|tool_response>", "[e~["};
constexpr std::string_view kFimPrefix[] = {"<|fim_prefix|>",  "<fim-prefix>", "<fim_prefix>",
                                           "<｜fim▁begin｜>", "<PRE>",        "▁<PRE>",
                                           "<|code_prefix|>", "<|prefix|>"};
constexpr std::string_view kFimSuffix[] = {"<|fim_suffix|>",  "<fim-suffix>", "<fim_suffix>",
                                           "<｜fim▁hole｜>",  "<SUF>",        "▁<SUF>",
                                           "<|code_suffix|>", "<|suffix|>"};
constexpr std::string_view kFimMiddle[] = {"<|fim_middle|>",  "<fim-middle>", "<fim_middle>",
                                           "<｜fim▁end｜>",   "<MID>",        "▁<MID>",
                                           "<|code_middle|>", "<|middle|>"};
constexpr std::string_view kFimPad[] = {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"};
constexpr std::string_view kFimRepository[] = {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>",
                                               "<REPO>", "<reponame>"};
constexpr std::string_view kFimFile[] = {"<|file_sep|>"};
// The parts of a gpt-oss message: text that a client wants to see.
constexpr std::string_view kMessageParts[] = {"<|channel|>", "<|message|>", "<|start|>",
                                              "<|constrain|>"};

std::optional<int32_t> Find(const Vocabulary& vocabulary, std::string_view text) {
  const auto it = vocabulary.ids.find(text);
  if (it == vocabulary.ids.end()) return std::nullopt;
  return it->second;
}

// Unless metadata named it, `id` becomes the token with the lowest id of those in `texts`, which is
// a control token whatever the file says.
void FindByText(Texts texts, std::optional<int32_t>& id, Vocabulary& vocabulary) {
  if (id.has_value()) return;
  for (const std::string_view text : texts) {
    const std::optional<int32_t> found = Find(vocabulary, text);
    if (found.has_value() && (!id.has_value() || *found < *id)) id = found;
  }
  if (id.has_value()) vocabulary.flags[*id] |= kTokenControl;
}

void AddEnds(Texts texts, std::set<int32_t>& ends, Vocabulary& vocabulary) {
  for (const std::string_view text : texts) {
    const std::optional<int32_t> id = Find(vocabulary, text);
    if (!id.has_value()) continue;
    ends.insert(*id);
    vocabulary.flags[*id] |= kTokenControl;
  }
}

// Two families in which a text of the lists above means something else.
void CorrectFamilies(std::set<int32_t>& ends, Vocabulary& vocabulary) {
  const auto ends_with = [&](std::string_view text) {
    const std::optional<int32_t> id = Find(vocabulary, text);
    return id.has_value() && ends.contains(*id);
  };
  // Where messages end by "<|return|>" and the like, "<|end|>" only ends a part of one.
  const bool calls = ends_with("<|call|>") || ends_with("<|calls|>");
  if (calls && (ends_with("<|return|>") || ends_with("<|flush|>")) && ends_with("<|end|>")) {
    const int32_t id = *Find(vocabulary, "<|end|>");
    ends.erase(id);
    vocabulary.flags[id] = kTokenUserDefined;
  }
  // Gemma 4 has "</s>" as an HTML tag.
  if (ends_with("<|tool_response>") && ends_with("</s>")) {
    const int32_t id = *Find(vocabulary, "</s>");
    ends.erase(id);
    vocabulary.flags[id] = kTokenNormal;
  }
}

}  // namespace

void ApplyWellKnownTokens(NamedIds named, Vocabulary& vocabulary) {
  FindByText(kEndOfTurn, named.eot, vocabulary);
  FindByText(kEndOfMessage, named.eom, vocabulary);
  FindByText(kFimPrefix, named.fim_prefix, vocabulary);
  FindByText(kFimSuffix, named.fim_suffix, vocabulary);
  FindByText(kFimMiddle, named.fim_middle, vocabulary);
  FindByText(kFimPad, named.fim_pad, vocabulary);
  FindByText(kFimRepository, named.fim_repository, vocabulary);
  FindByText(kFimFile, named.fim_file, vocabulary);

  std::set<int32_t> ends;
  AddEnds(kEndOfTurn, ends, vocabulary);
  AddEnds(kEndOfMessage, ends, vocabulary);
  AddEnds(kOtherEnds, ends, vocabulary);
  for (const std::string_view text : kMessageParts) {
    const std::optional<int32_t> id = Find(vocabulary, text);
    if (id.has_value()) vocabulary.flags[*id] = kTokenUserDefined;
  }
  for (const auto& id : {named.fim_pad, named.fim_repository, named.fim_file, vocabulary.eos,
                         named.eot, named.eom}) {
    if (id.has_value()) ends.insert(*id);
  }
  CorrectFamilies(ends, vocabulary);
  vocabulary.end_ids.assign(ends.begin(), ends.end());
}

}  // namespace shoal
