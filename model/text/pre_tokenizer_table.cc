// The names that tokenizer.ggml.pre may have, and the patterns behind them: facts from the models'
// tokenizer files and llama.cpp's reading of them, written so that PCRE2 needs time linear in the
// text. Two turns that recur: `[^\P{L}a-z]` is "a letter, but not a-z"; and `(?!\s)` in front of a
// range that holds white space keeps it out, as llama.cpp does.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "model/text/pre_tokenizer.h"

namespace shoal {

namespace {

enum class Family {
  kAfmoe,
  kBailing,
  kBloom,
  kDeepseekCoder,
  kDeepseekLlm,
  kDeepseekV3,
  kDefault,
  kExaoneMoe,
  kFalcon,
  kGpt2,
  kGpt4o,
  kJais2,
  kKimiK2,
  kLaguna,
  kLlama3,
  kMinicpm5,
  kQwen2,
  kQwen35,
  kSeedCoder,
  kSpark,
  kStarcoder,
  kTekken,
  kTinyAya,
  kUfakzeka,
  kViking,
  kYoutu,
};

struct Entry {
  std::string_view name;
  Family family;
  PreTokenizerTraits traits = {};
};

constexpr PreTokenizerTraits kCleans = {};
constexpr PreTokenizerTraits kKeeps = {.cleans_up_spaces = false};
constexpr PreTokenizerTraits kWholeWords = {.ignore_merges = true, .cleans_up_spaces = false};
constexpr PreTokenizerTraits kLlama3Traits = {.ignore_merges = true, .adds_bos = true};
constexpr PreTokenizerTraits kTekkenTraits = {
    .ignore_merges = true, .adds_bos = true, .cleans_up_spaces = false};
constexpr PreTokenizerTraits kGlmTraits = {.ignore_merges = true, .has_default_bos = false};

// In alphabetical order.
constexpr Entry kEntries[] = {
    {"a.x-4.0", Family::kGpt2, kCleans},
    {"afmoe", Family::kAfmoe, kKeeps},
    {"bailingmoe", Family::kBailing, kKeeps},
    {"bailingmoe2", Family::kBailing, kKeeps},
    {"bloom", Family::kBloom, kCleans},
    {"chatglm-bpe", Family::kLlama3, {.has_default_bos = false}},
    {"codeshell", Family::kStarcoder, kCleans},
    {"cohere2moe", Family::kTinyAya, kKeeps},
    {"command-r", Family::kStarcoder, kKeeps},
    {"dbrx", Family::kLlama3, kCleans},
    {"deepseek-coder", Family::kDeepseekCoder, kKeeps},
    {"deepseek-llm", Family::kDeepseekLlm, kKeeps},
    {"deepseek-r1-qwen", Family::kQwen2, kKeeps},
    {"deepseek-v3", Family::kDeepseekV3, kKeeps},
    {"default", Family::kDefault, kCleans},
    {"exaone", Family::kStarcoder, kCleans},
    {"exaone-moe", Family::kExaoneMoe, kCleans},
    {"exaone4", Family::kGpt2, kCleans},
    {"falcon", Family::kFalcon, kCleans},
    {"falcon-h1", Family::kLlama3, kLlama3Traits},
    {"falcon3", Family::kLlama3, kLlama3Traits},
    {"gigachat", Family::kGpt2, kCleans},
    {"glm4", Family::kLlama3, kGlmTraits},
    {"glm5", Family::kLlama3, kGlmTraits},
    {"gpt-2", Family::kGpt2, kCleans},
    {"gpt-4o", Family::kGpt4o, kKeeps},
    {"gpt3-finnish", Family::kBloom, kCleans},
    {"granite-docling", Family::kGpt2, kKeeps},
    {"grok-2", Family::kQwen2, kKeeps},
    {"hunyuan", Family::kQwen2, kKeeps},
    {"hunyuan-dense", Family::kDeepseekV3, kKeeps},
    {"hy_v4", Family::kDeepseekV3, kKeeps},
    {"jais", Family::kGpt2, kCleans},
    {"jais-2", Family::kJais2, kCleans},
    {"joyai-llm", Family::kDeepseekV3, kKeeps},
    {"kanana2", Family::kGpt4o, kKeeps},
    {"kimi-k2", Family::kKimiK2, kKeeps},
    {"kormo", Family::kQwen2, kKeeps},
    {"laguna", Family::kLaguna, kKeeps},
    {"lfm2", Family::kLlama3, kLlama3Traits},
    {"llada-moe", Family::kBailing, kKeeps},
    {"llama-bpe", Family::kLlama3, kLlama3Traits},
    {"llama-v3", Family::kLlama3, kLlama3Traits},
    {"llama3", Family::kLlama3, kLlama3Traits},
    {"llama4", Family::kGpt4o, kKeeps},
    {"megrez", Family::kQwen2, kCleans},
    {"mellum", Family::kGpt2, kCleans},
    {"mellum2", Family::kStarcoder, kCleans},
    {"midm-2.0", Family::kLlama3, kLlama3Traits},
    {"minerva-7b", Family::kStarcoder, kCleans},
    {"minicpm5", Family::kMinicpm5, {.ignore_merges = true}},
    {"minimax-m2", Family::kGpt4o, kKeeps},
    {"mpt", Family::kGpt2, kCleans},
    {"olmo", Family::kGpt2, kCleans},
    {"phi-2", Family::kGpt2, kCleans},
    {"pixtral", Family::kLlama3, kLlama3Traits},
    {"poro-chat", Family::kBloom, kKeeps},
    {"qwen2", Family::kQwen2, kKeeps},
    {"qwen35", Family::kQwen35, kKeeps},
    {"refact", Family::kStarcoder, kCleans},
    {"seed-coder", Family::kSeedCoder, kKeeps},
    {"smaug-bpe", Family::kLlama3, kCleans},
    {"smollm", Family::kStarcoder, kKeeps},
    {"solar-open", Family::kQwen2, kKeeps},
    {"spark2_5", Family::kSpark, kKeeps},
    {"stablelm2", Family::kQwen2, kCleans},
    {"starcoder", Family::kStarcoder, kCleans},
    {"talkie", Family::kGpt4o, kKeeps},
    {"tekken", Family::kTekken, kTekkenTraits},
    {"tiny_aya", Family::kTinyAya, kKeeps},
    {"trillion", Family::kGpt2, kKeeps},
    {"ufakzeka", Family::kUfakzeka, kKeeps},
    {"viking", Family::kViking, kKeeps},
    {"youtu", Family::kYoutu, kWholeWords},
};

constexpr char kGpt2[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr char kContraction[] = R"('(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL]))";
constexpr char kLetters[] = R"([^\r\n\p{L}\p{N}]?\p{L}+)";
constexpr char kNumbersOfThree[] = R"(\p{N}{1,3})";
constexpr char kOthers[] = R"( ?[^\s\p{L}\p{N}]+[\r\n]*)";
constexpr char kSpaces[] = R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
// The same spaces, but each line end by itself.
constexpr char kSpacesAndLineEnd[] = R"(\s*[\r\n]|\s+(?!\S)|\s+)";

// As the first of kSpaces where a run of spaces is cut into many words: only the first of them
// needs to look for a line end in the rest of the run.
constexpr char kLineEndsInRun[] = R"((?<![^\S\r\n])\s*[\r\n]+)";

// Han and kana that form words of their own in DeepSeek's later families.
constexpr char kHanAndKana[] = R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)";
// Han as the reference's own reading of Kimi's pattern has it.
constexpr char kHanRanges[] =
    R"(\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F})"
    R"(\x{2B740}-\x{2B81F}\x{2B820}-\x{2CEAF}\x{2CEB0}-\x{2EBEF}\x{F900}-\x{FAFF})"
    R"(\x{2F800}-\x{2FA1F})";
constexpr char kDeepseekEastAsian[] = R"((?:(?!\s)[\x{800}-\x{9FA5}\x{AC00}-\x{D7FF}])+)";
constexpr char kBloomWords[] =
    R"( ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+)";
constexpr char kAsciiPunctuationWord[] = R"([!-/:-@\[-`{-~][A-Za-z]+)";
constexpr char kLettersAndMarks[] = R"([^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)";

// The letters that deepseek-llm's tokenizer lists: those with case, of an older Unicode.
constexpr char kDeepseekLetters[] =
    R"(\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293})"
    R"(\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386})"
    R"(\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F})"
    R"(\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA})"
    R"(\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A})"
    R"(\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D})"
    R"(\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4})"
    R"(\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3})"
    R"(\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107})"
    R"(\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D})"
    R"(\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184})"
    R"(\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D})"
    R"(\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E})"
    R"(\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A})"
    R"(\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB})"
    R"(\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+)";
constexpr char kDeepseekPunctuation[] =
    R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3001}\x{3002}]+)";

// East Asian scripts that form words of their own in AFMoE.
constexpr char kAfmoeEastAsian[] =
    R"([\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{8C48}-\x{FAFF}\x{3040}-\x{309F}\x{30A0}-\x{30FF})"
    R"(\x{FF65}-\x{FF9F}\x{2F00}-\x{2FDF}\x{E40}-\x{E7F}\x{E80}-\x{EFF}\x{1780}-\x{17FF})"
    R"(\x{1000}-\x{109F}\x{AA60}-\x{AA7F}\x{A9E0}-\x{A9FF}\x{AC00}-\x{D7AF}\x{1100}-\x{11FF}]+)";
constexpr char kYoutuEastAsian[] =
    R"([\x{AC00}-\x{D7A3}\x{3131}-\x{318E}]+|[\x{FF01}\x{2026}\x{201C}\x{201D}\x{2018}\x{2019})"
    R"(\x{2014}\x{FF1A}\x{FF1B}\x{FF0C}\x{3001}-\x{303F}\x{FE30}-\x{FE4F}]+)"
    R"(|[\x{3105}-\x{312F}]+|[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)";

// Words that begin with upper case and go on in lower case, with `suffix` behind each.
std::string CasedWords(std::string_view suffix) {
  return fmt::format(R"([^\r\n\p{{L}}\p{{N}}]?[^\P{{L}}a-z]*[^\P{{L}}A-Z]+{0})"
                     R"(|[^\r\n\p{{L}}\p{{N}}]?[^\P{{L}}a-z]+[^\P{{L}}A-Z]*{0})",
                     suffix);
}

std::string OneOf(std::initializer_list<std::string_view> alternatives) {
  return fmt::format("{}", fmt::join(alternatives, "|"));
}

std::vector<SplitRule> RulesOf(Family family) {
  const std::string others_with_slash = R"( ?[^\s\p{L}\p{N}]+[\r\n/]*)";
  const std::string contraction_suffix = fmt::format("(?:{})?", kContraction);
  const std::string punctuated =
      OneOf({kAsciiPunctuationWord, kLettersAndMarks, R"( ?[\p{P}\p{S}]+[\r\n]*)", kSpaces});
  const std::string qwen2 = OneOf({kContraction, kLetters, R"(\p{N})", kOthers, kSpaces});
  const std::string llama3 = OneOf({kContraction, kLetters, kNumbersOfThree, kOthers, kSpaces});
  switch (family) {
    case Family::kAfmoe: return {{R"(\p{N}+)", true}, {kAfmoeEastAsian}, {punctuated}};
    case Family::kBailing:
      return {{OneOf({kContraction, kLetters, R"(\p{N})", kOthers, kSpacesAndLineEnd})}};
    case Family::kBloom: return {{kBloomWords}};
    case Family::kDeepseekCoder:
      return {
          {R"([\r\n])"}, {R"(\s?\p{L}+)"}, {R"(\s?\p{P}+)"}, {kDeepseekEastAsian}, {R"(\p{N})"}};
    case Family::kDeepseekLlm:
      return {{R"([\r\n])"},        {kDeepseekLetters},   {kDeepseekPunctuation},
              {R"((?<!\s)\s++\z)"}, {kDeepseekEastAsian}, {R"(\p{N}+)"}};
    case Family::kDeepseekV3: return {{kNumbersOfThree}, {kHanAndKana}, {punctuated}};
    case Family::kDefault:
      return {{R"([\p{P}$+<=>^~|]+)"}, {kGpt2}, {R"(\p{N}+)"}, {"[0-9][0-9][0-9]"}};
    case Family::kExaoneMoe:
      return {{OneOf({kContraction, R"([^\r\n\p{L}\p{N}]?\p{L}\p{M}*+(?: ?\p{L}\p{M}*+)*+)",
                      R"(\p{N})", R"( ?[^\s\p{L}\p{N}]+[\r\n/]?)", kSpacesAndLineEnd})}};
    case Family::kFalcon: return {{R"([\p{P}$+<=>^~|`]+)"}, {kGpt2}, {"[0-9][0-9][0-9]"}};
    case Family::kGpt2: return {{kGpt2}};
    case Family::kGpt4o:
      return {
          {OneOf({CasedWords(contraction_suffix), kNumbersOfThree, others_with_slash, kSpaces})}};
    case Family::kJais2:
      return {{OneOf({kContraction, kLetters, kNumbersOfThree, kOthers, kLineEndsInRun,
                      R"(\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S))",
                      R"(\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s)"})}};
    case Family::kKimiK2:
      return {{OneOf(
          {fmt::format("[{}]+", kHanRanges),
           fmt::format(R"([^\r\n\p{{L}}\p{{N}}]?[^\P{{L}}{}]+{})", kHanRanges, contraction_suffix),
           kNumbersOfThree, kOthers, kSpaces})}};
    case Family::kLaguna: return {{R"(\n+)"}, {qwen2}};
    case Family::kLlama3: return {{llama3}};
    case Family::kMinicpm5:
      return {{kNumbersOfThree}, {OneOf({kContraction, kLetters, R"(\p{N}+)", kOthers, kSpaces})}};
    case Family::kQwen2: return {{qwen2}};
    case Family::kQwen35:
      return {{OneOf({kContraction, R"([^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+)", R"(\p{N})",
                      R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)", kSpaces})}};
    case Family::kSeedCoder:
      return {{OneOf({kContraction, kLetters, R"(\p{N})", R"( ?[^\s\p{L}\p{N}\r\n]+)", kSpaces})}};
    case Family::kSpark:
      return {{kNumbersOfThree},
              {kHanAndKana},
              {OneOf({kAsciiPunctuationWord, kLettersAndMarks, R"( ?[\p{P}\p{S}]+)",
                      R"([\r\n]|\s+(?!\S)|\s+)"})},
              {R"(\p{N})"}};
    case Family::kStarcoder: return {{R"(\p{N})"}, {kGpt2}};
    case Family::kTekken:
      return {{OneOf({CasedWords(""), R"(\p{N})", others_with_slash, kSpaces})}};
    case Family::kTinyAya:
      return {{R"(\p{N}+)", true},
              {OneOf({R"([^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+)" + contraction_suffix, kNumbersOfThree,
                      others_with_slash, kSpaces})}};
    case Family::kUfakzeka: return {{OneOf({kLetters, R"(\p{N})", kOthers, kSpaces})}};
    case Family::kViking: return {{kBloomWords}, {R"(\p{N})"}};
    case Family::kYoutu:
      return {{kYoutuEastAsian},
              {OneOf({R"([^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+)" + contraction_suffix, R"(\p{N})",
                      others_with_slash, kSpaces})}};
  }
  CHECK(false, "a family without rules");
}

}  // namespace

Result<PreTokenizerSpec> FindPreTokenizer(std::string_view name) {
  for (const Entry& entry : kEntries) {
    if (entry.name == name) return PreTokenizerSpec{RulesOf(entry.family), entry.traits};
  }
  return Unimplemented(fmt::format("pre-tokenizer '{}' is not supported; supported are: {}", name,
                                   fmt::join(PreTokenizerNames(), ", ")));
}

std::vector<std::string_view> PreTokenizerNames() {
  std::vector<std::string_view> names;
  std::transform(std::begin(kEntries), std::end(kEntries), std::back_inserter(names),
                 [](const Entry& entry) { return entry.name; });
  return names;
}

}  // namespace shoal
