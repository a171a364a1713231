#include "model/text/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "model/text/utf8.h"

namespace shoal {

namespace {

struct FreePcre2 {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

// A match may backtrack over the text it has read, but only by a few steps for each byte: the
// patterns have no nested repeats. The limit is there in case one is added.
constexpr uint32_t kBaseMatchLimit = 100'000;
constexpr uint32_t kMatchLimitPerByte = 64;
constexpr uint32_t kMaxHeapKib = 256 << 10;

struct Range {
  size_t begin;
  size_t end;
};

// Characters that Unicode 15.0 and 15.1 added, which PCRE2 10.42 takes for unassigned, and one that
// it takes for white space. The stand-in has the right class and as many bytes in UTF-8.
struct ClassException {
  uint32_t first;
  uint32_t last;
  uint32_t stand_in;
};

constexpr uint32_t kLetter4 = 0x10000;
constexpr uint32_t kMark4 = 0x1E130;
constexpr uint32_t kNumber4 = 0x10107;
constexpr uint32_t kPunctuation4 = 0x10100;
constexpr uint32_t kSymbol4 = 0x1F300;
constexpr uint32_t kSymbol3 = 0x2FF0;
constexpr uint32_t kFormat3 = 0x200B;
constexpr uint32_t kPrivateUse3 = 0xE000;

constexpr ClassException kClassExceptions[] = {
    {0x0CF3, 0x0CF3, 0x0CE2},
    {0x0ECE, 0x0ECE, 0x0ECD},
    {0x180E, 0x180E, kFormat3},
    {0x2FFC, 0x2FFF, kSymbol3},
    {0x31EF, 0x31EF, kSymbol3},
    {0xD800, 0xDFFF, kPrivateUse3},  // surrogates: not valid UTF-8, which PCRE2 relies on
    {0x10EFD, 0x10EFF, kMark4},
    {0x1123F, 0x11240, kLetter4},
    {0x11241, 0x11241, kMark4},
    {0x11B00, 0x11B09, kPunctuation4},
    {0x11F00, 0x11F01, kMark4},
    {0x11F02, 0x11F02, kLetter4},
    {0x11F03, 0x11F03, kMark4},
    {0x11F04, 0x11F10, kLetter4},
    {0x11F12, 0x11F33, kLetter4},
    {0x11F34, 0x11F3A, kMark4},
    {0x11F3E, 0x11F42, kMark4},
    {0x11F43, 0x11F4F, kPunctuation4},
    {0x11F50, 0x11F59, kNumber4},
    {0x1342F, 0x1342F, kLetter4},
    {0x13440, 0x13440, kMark4},
    {0x13441, 0x13446, kLetter4},
    {0x13447, 0x13455, kMark4},
    {0x1B132, 0x1B132, kLetter4},
    {0x1B155, 0x1B155, kLetter4},
    {0x1D2C0, 0x1D2D3, kNumber4},
    {0x1DF25, 0x1DF2A, kLetter4},
    {0x1E030, 0x1E06D, kLetter4},
    {0x1E08F, 0x1E08F, kMark4},
    {0x1E4D0, 0x1E4EB, kLetter4},
    {0x1E4EC, 0x1E4EF, kMark4},
    {0x1E4F0, 0x1E4F9, kNumber4},
    {0x1F6DC, 0x1F6DC, kSymbol4},
    {0x1F774, 0x1F776, kSymbol4},
    {0x1F77B, 0x1F77F, kSymbol4},
    {0x1F7D9, 0x1F7D9, kSymbol4},
    {0x1FA75, 0x1FA77, kSymbol4},
    {0x1FA87, 0x1FA88, kSymbol4},
    {0x1FAAD, 0x1FAAF, kSymbol4},
    {0x1FABB, 0x1FABD, kSymbol4},
    {0x1FABF, 0x1FABF, kSymbol4},
    {0x1FACE, 0x1FACF, kSymbol4},
    {0x1FADA, 0x1FADB, kSymbol4},
    {0x1FAE8, 0x1FAE8, kSymbol4},
    {0x1FAF7, 0x1FAF8, kSymbol4},
    {0x2B739, 0x2B739, 0x2B738},
    {0x2EBF0, 0x2EE5D, kLetter4},
    {0x31350, 0x323AF, kLetter4},
};

uint32_t ClassStandIn(uint32_t code_point) {
  const auto* it = std::upper_bound(
      std::begin(kClassExceptions), std::end(kClassExceptions), code_point,
      [](uint32_t value, const ClassException& exception) { return value < exception.first; });
  if (it == std::begin(kClassExceptions)) return code_point;
  --it;
  return code_point <= it->last ? it->stand_in : code_point;
}

// Cuts `match` into three characters each, counted from its end. The `before` bytes in front of it
// go with the first of them, as in the reference.
void AppendTriples(std::string_view match, size_t before, std::vector<size_t>& lengths) {
  std::vector<size_t> starts;
  for (size_t i = 0; i < match.size(); i += Utf8LengthOf(static_cast<uint8_t>(match[i]))) {
    starts.push_back(i);
  }
  size_t begin = 0;
  for (size_t i = 1; i < starts.size(); ++i) {
    if ((starts.size() - i) % 3 != 0) continue;
    lengths.push_back(before + starts[i] - begin);
    before = 0;
    begin = starts[i];
  }
  lengths.push_back(before + match.size() - begin);
}

}  // namespace

// One rule, compiled.
class PreTokenizer::Step {
 public:
  static Result<Step> Create(const SplitRule& rule) {
    int error = 0;
    size_t offset = 0;
    Step step;
    step.digit_triples_ = rule.digit_triples;
    step.code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(rule.pattern.data()),
                                   rule.pattern.size(), PCRE2_UTF | PCRE2_UCP, &error, &offset,
                                   nullptr));
    if (step.code_ == nullptr) {
      return InternalError(fmt::format("PCRE2 refuses the pattern '{}' at {} (error {})",
                                       rule.pattern, offset, error));
    }
    // Without a just-in-time compiler matching is only slower.
    static_cast<void>(pcre2_jit_compile(step.code_.get(), PCRE2_JIT_COMPLETE));
    return step;
  }

  // Cuts each of the words that `lengths` gives.
  std::vector<size_t> Split(std::string_view text, const std::vector<size_t>& lengths) const {
    const std::unique_ptr<pcre2_match_data, FreePcre2> data(pcre2_match_data_create(1, nullptr));
    const std::unique_ptr<pcre2_match_context, FreePcre2> context(
        pcre2_match_context_create(nullptr));
    CHECK(data != nullptr && context != nullptr, "out of memory");
    pcre2_set_heap_limit(context.get(), kMaxHeapKib);
    std::vector<size_t> words;
    words.reserve(lengths.size());
    size_t begin = 0;
    for (const size_t length : lengths) {
      SplitWord(text.substr(begin, length), data.get(), context.get(), words);
      begin += length;
    }
    return words;
  }

 private:
  Step() = default;

  void SplitWord(std::string_view word, pcre2_match_data* data, pcre2_match_context* context,
                 std::vector<size_t>& words) const {
    const uint64_t limit = kBaseMatchLimit + uint64_t{kMatchLimitPerByte} * word.size();
    pcre2_set_match_limit(context, static_cast<uint32_t>(std::min<uint64_t>(limit, UINT32_MAX)));
    size_t done = 0;
    while (done < word.size()) {
      const std::optional<Range> match = Search(word, done, data, context);
      if (!match.has_value()) break;
      const size_t before = match->begin - done;
      if (digit_triples_) {
        AppendTriples(word.substr(match->begin, match->end - match->begin), before, words);
      } else {
        if (before > 0) words.push_back(before);
        words.push_back(match->end - match->begin);
      }
      done = match->end;
    }
    if (done < word.size()) words.push_back(word.size() - done);
  }

  // The first match at or behind `from`, never empty.
  std::optional<Range> Search(std::string_view word, size_t from, pcre2_match_data* data,
                              pcre2_match_context* context) const {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(word.data());
    const uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
    int count = pcre2_match(code_.get(), subject, word.size(), from, options, data, context);
    if (count == PCRE2_ERROR_JIT_STACKLIMIT) {
      count = pcre2_match(code_.get(), subject, word.size(), from, options | PCRE2_NO_JIT, data,
                          context);
    }
    // No match; or a limit, and then the rest stays in one piece.
    if (count < 0) return std::nullopt;
    const size_t* ends = pcre2_get_ovector_pointer(data);
    return Range{ends[0], ends[1]};
  }

  std::unique_ptr<pcre2_code, FreePcre2> code_;
  bool digit_triples_ = false;
};

PreTokenizer::PreTokenizer(PreTokenizerTraits traits, std::vector<Step> steps)
    : traits_(traits), steps_(std::move(steps)) {}
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

Result<PreTokenizer> PreTokenizer::Create(std::string_view name) {
  ASSIGN_OR_RETURN(const PreTokenizerSpec spec, FindPreTokenizer(name));
  std::vector<Step> steps;
  for (const SplitRule& rule : spec.rules) {
    ASSIGN_OR_RETURN(Step step, Step::Create(rule));
    steps.push_back(std::move(step));
  }
  return PreTokenizer(spec.traits, std::move(steps));
}

std::vector<size_t> PreTokenizer::Split(std::string_view text) const {
  if (text.empty()) return {};
  const std::string view = ClassView(text);
  std::vector<size_t> lengths = {view.size()};
  for (const Step& step : steps_) lengths = step.Split(view, lengths);
  return lengths;
}

std::string ClassView(std::string_view text) {
  std::string view;
  view.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i]);
    const size_t bytes = Utf8LengthOf(lead);
    if (bytes < 3) {
      view.append(text, i, bytes);
    } else {
      AppendUtf8(ClassStandIn(DecodeLenient(text, i).code_point), view);
    }
    i += bytes;
  }
  return view;
}

}  // namespace shoal
