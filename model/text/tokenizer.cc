#include "model/text/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "model/text/bpe_tokenizer.h"
#include "model/text/spm_tokenizer.h"

namespace shoal {

namespace {

constexpr std::string_view kModelKey = "tokenizer.ggml.model";

// What the reference does to the text of BPE models of the older kind, in three passes: no space in
// front of "?!.,", none around a lone apostrophe, none in front of 's, 'm, 're and 've.
std::string WithoutSpacesBeforePunctuation(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool closes = c == '?' || c == '!' || c == '.' || c == ',';
    if (closes && i > 0 && text[i - 1] == ' ') out.pop_back();
    out.push_back(c);
  }
  return out;
}

std::string WithoutSpacesAroundApostrophe(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool space_before = false;  // and not yet taken away by another apostrophe
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\'' && space_before && i + 1 < text.size() && text[i + 1] == ' ') {
      out.back() = '\'';
      ++i;
      space_before = false;
      continue;
    }
    out.push_back(text[i]);
    space_before = text[i] == ' ';
  }
  return out;
}

std::string WithoutSpacesBeforeContractions(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\'' && i > 0 && text[i - 1] == ' ') {
      const std::string_view rest = text.substr(i + 1);
      if (rest.starts_with('s') || rest.starts_with('m') || rest.starts_with("re") ||
          rest.starts_with("ve")) {
        out.pop_back();
      }
    }
    out.push_back(text[i]);
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::Load(const GgufFile& file) {
  ASSIGN_OR_RETURN(const std::string_view model, file.String(kModelKey));
  if (model == "llama") return LoadSpmTokenizer(file);
  if (model == "gpt2") return LoadBpeTokenizer(file);
  return Unimplemented(
      fmt::format("{}: metadata {}: tokenizer '{}' is not supported; supported are: llama, gpt2",
                  file.path(), kModelKey, model));
}

Status Tokenizer::Adopt(Vocabulary vocabulary) {
  ASSIGN_OR_RETURN(all_specials_, SpecialTokens::Create(vocabulary, true));
  ASSIGN_OR_RETURN(user_specials_, SpecialTokens::Create(vocabulary, false));
  bos_ = vocabulary.bos;
  eos_ = vocabulary.eos;
  add_bos_ = vocabulary.add_bos;
  add_eos_ = vocabulary.add_eos;
  add_space_prefix_ = vocabulary.add_space_prefix;
  end_ids_ = std::move(vocabulary.end_ids);
  flags_ = std::move(vocabulary.flags);
  ids_ = std::move(vocabulary.ids);
  tokens_ = std::move(vocabulary.tokens);
  return OkStatus();
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text, ParseSpecial special) const {
  std::vector<int32_t> ids = EncodePlain(text, special);
  if (add_bos_ && bos_.has_value()) ids.insert(ids.begin(), *bos_);
  if (add_eos_ && eos_.has_value()) ids.push_back(*eos_);
  return ids;
}

std::string Tokenizer::Decode(std::span<const int32_t> ids) const {
  std::string text;
  bool at_start = true;
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab_size()) continue;
    const std::string piece = IsHidden(id) ? tokens_[id] : TokenBytes(id);
    const bool drop_space = at_start && add_space_prefix_ && piece.starts_with(' ');
    text.append(piece, drop_space ? 1 : 0);
    at_start = false;
  }
  if (!cleans_up_spaces_) return text;
  return WithoutSpacesBeforeContractions(
      WithoutSpacesAroundApostrophe(WithoutSpacesBeforePunctuation(text)));
}

std::string_view Tokenizer::TokenText(int32_t id) const {
  if (id < 0 || id >= vocab_size()) return {};
  return tokens_[id];
}

bool Tokenizer::EndsGeneration(int32_t id) const {
  return std::binary_search(end_ids_.begin(), end_ids_.end(), id);
}

std::optional<int32_t> Tokenizer::FindToken(std::string_view text) const {
  const auto it = ids_.find(text);
  if (it == ids_.end()) return std::nullopt;
  return it->second;
}

}  // namespace shoal
