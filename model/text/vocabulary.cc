#include "model/text/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace shoal {

namespace {

constexpr std::string_view kTokensKey = "tokenizer.ggml.tokens";
constexpr std::string_view kScoresKey = "tokenizer.ggml.scores";
constexpr std::string_view kTypesKey = "tokenizer.ggml.token_type";

Error BadKey(const GgufFile& file, std::string_view key, std::string_view problem) {
  return InvalidArgument(fmt::format("{}: metadata {}: {}", file.path(), key, problem));
}

// The numbers that stand in token_type, from the GGUF specification. Unused tokens (5) and unknown
// numbers get no flag: such a token is never special and stands for no text.
TokenFlags FlagsOfType(int64_t type) {
  switch (type) {
    case 1: return kTokenNormal;
    case 2: return kTokenUnknown;
    case 3: return kTokenControl;
    case 4: return kTokenUserDefined;
    case 6: return kTokenByte;
    default: return 0;
  }
}

Status LoadTokens(const GgufFile& file, Vocabulary& vocabulary) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> tokens, file.Strings(kTokensKey));
  if (tokens.empty()) return BadKey(file, kTokensKey, "there are none");
  if (tokens.size() > Vocabulary::kMaxTokens) {
    return BadKey(
        file, kTokensKey,
        fmt::format("{} tokens, at most {} are supported", tokens.size(), Vocabulary::kMaxTokens));
  }
  vocabulary.tokens.reserve(tokens.size());
  for (const std::string_view token : tokens) {
    // As the reference names them, so that an empty text is never looked for.
    vocabulary.tokens.push_back(token.empty() ? fmt::format("[EMPTY_{}]", vocabulary.tokens.size())
                                              : std::string(token));
  }
  vocabulary.ids.reserve(tokens.size());
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const auto [it, inserted] = vocabulary.ids.emplace(vocabulary.tokens[i], id);
    if (!inserted) {
      return BadKey(file, kTokensKey, fmt::format("tokens {} and {} are the same", it->second, id));
    }
  }
  return OkStatus();
}

Status LoadFlags(const GgufFile& file, Vocabulary& vocabulary) {
  vocabulary.flags.assign(vocabulary.tokens.size(), kTokenNormal);
  if (!file.Has(kTypesKey)) return OkStatus();
  ASSIGN_OR_RETURN(const std::vector<int64_t> types, file.Ints(kTypesKey));
  if (types.size() != vocabulary.tokens.size()) {
    return BadKey(file, kTypesKey,
                  fmt::format("{} types for {} tokens", types.size(), vocabulary.tokens.size()));
  }
  std::transform(types.begin(), types.end(), vocabulary.flags.begin(), FlagsOfType);
  return OkStatus();
}

Status LoadScores(const GgufFile& file, Vocabulary& vocabulary) {
  vocabulary.scores.assign(vocabulary.tokens.size(), 0.0f);
  if (!file.Has(kScoresKey)) return OkStatus();
  // Floating point in most files, integers in some.
  Result<std::vector<float>> scores = file.Floats(kScoresKey);
  if (!scores.ok()) {
    const Result<std::vector<int64_t>> integers = file.Ints(kScoresKey);
    if (!integers.ok()) return scores.error();
    scores = std::vector<float>(integers->begin(), integers->end());
  }
  if (scores->size() != vocabulary.tokens.size()) {
    return BadKey(file, kScoresKey,
                  fmt::format("{} scores for {} tokens", scores->size(), vocabulary.tokens.size()));
  }
  for (size_t i = 0; i < scores->size(); ++i) {
    if (std::isnan((*scores)[i])) {
      return BadKey(file, kScoresKey, fmt::format("the score of token {} is not a number", i));
    }
  }
  vocabulary.scores = std::move(scores).value();
  return OkStatus();
}

// Leaves `id` alone if the key is missing, but drops a default that is outside the vocabulary.
Status LoadId(const GgufFile& file, std::string_view key, size_t tokens,
              std::optional<int32_t>& id) {
  if (id.has_value() && static_cast<size_t>(*id) >= tokens) id.reset();
  if (!file.Has(key)) return OkStatus();
  ASSIGN_OR_RETURN(const int64_t named, file.Int(key));
  if (named < 0 || static_cast<uint64_t>(named) >= tokens) {
    return BadKey(file, key,
                  fmt::format("{} is not in the vocabulary of {} tokens", named, tokens));
  }
  id = static_cast<int32_t>(named);
  return OkStatus();
}

Result<NamedIds> LoadIds(const GgufFile& file, Vocabulary& vocabulary) {
  NamedIds named;
  const std::pair<std::string_view, std::optional<int32_t>*> keys[] = {
      {"tokenizer.ggml.bos_token_id", &vocabulary.bos},
      {"tokenizer.ggml.eos_token_id", &vocabulary.eos},
      {"tokenizer.ggml.unknown_token_id", &vocabulary.unknown},
      {"tokenizer.ggml.eot_token_id", &named.eot},
      {"tokenizer.ggml.eom_token_id", &named.eom},
      {"tokenizer.ggml.fim_pre_token_id", &named.fim_prefix},
      {"tokenizer.ggml.fim_suf_token_id", &named.fim_suffix},
      {"tokenizer.ggml.fim_mid_token_id", &named.fim_middle},
      {"tokenizer.ggml.fim_pad_token_id", &named.fim_pad},
      {"tokenizer.ggml.fim_rep_token_id", &named.fim_repository},
      {"tokenizer.ggml.fim_sep_token_id", &named.fim_file},
      // Older names.
      {"tokenizer.ggml.prefix_token_id", &named.fim_prefix},
      {"tokenizer.ggml.suffix_token_id", &named.fim_suffix},
      {"tokenizer.ggml.middle_token_id", &named.fim_middle},
  };
  for (const auto& [key, id] : keys) {
    RETURN_IF_ERROR(LoadId(file, key, vocabulary.tokens.size(), *id));
  }
  return named;
}

// Phi-3 files have tokens that take the white space behind them, which no metadata key says.
Status ApplyModelName(const GgufFile& file, Vocabulary& vocabulary) {
  ASSIGN_OR_RETURN(const std::string_view name, file.StringOr("general.name", ""));
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (lower.find("phi-3") == std::string::npos && lower.find("phi3") == std::string::npos) {
    return OkStatus();
  }
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const std::string& token = vocabulary.tokens[i];
    if (token == "<unk>" || token == "<s>" || token == "<|endoftext|>") continue;
    if ((vocabulary.flags[i] & (kTokenControl | kTokenUserDefined | kTokenUnknown)) != 0) {
      vocabulary.flags[i] |= kTokenStripsRight;
    }
  }
  return OkStatus();
}

}  // namespace

Result<Vocabulary> LoadVocabulary(const GgufFile& file, const VocabularyDefaults& defaults) {
  Vocabulary vocabulary;
  RETURN_IF_ERROR(LoadTokens(file, vocabulary));
  RETURN_IF_ERROR(LoadFlags(file, vocabulary));
  RETURN_IF_ERROR(LoadScores(file, vocabulary));
  vocabulary.bos = defaults.bos;
  vocabulary.eos = defaults.eos;
  vocabulary.unknown = defaults.unknown;
  ASSIGN_OR_RETURN(const NamedIds named, LoadIds(file, vocabulary));
  ASSIGN_OR_RETURN(vocabulary.add_bos,
                   file.BoolOr("tokenizer.ggml.add_bos_token", defaults.add_bos));
  ASSIGN_OR_RETURN(vocabulary.add_eos, file.BoolOr("tokenizer.ggml.add_eos_token", false));
  ASSIGN_OR_RETURN(vocabulary.add_space_prefix,
                   file.BoolOr("tokenizer.ggml.add_space_prefix", defaults.add_space_prefix));
  ApplyWellKnownTokens(named, vocabulary);
  RETURN_IF_ERROR(ApplyModelName(file, vocabulary));
  return vocabulary;
}

}  // namespace shoal
