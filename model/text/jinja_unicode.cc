#include "model/text/jinja_unicode.h"

#include <algorithm>

#include "model/text/jinja_unicode_tables.h"
#include "model/text/utf8.h"

namespace shoal::jinja {
namespace {

bool InRanges(const CharRange* ranges, size_t count, char32_t c) {
  const CharRange* end = ranges + count;
  const CharRange* at =
      std::partition_point(ranges, end, [c](const CharRange& range) { return range.last < c; });
  return at != end && at->first <= c;
}

const SpecialCase* FindSpecial(const SpecialCase* cases, size_t count, char32_t c) {
  const SpecialCase* end = cases + count;
  const SpecialCase* at =
      std::partition_point(cases, end, [c](const SpecialCase& s) { return s.from < c; });
  return at != end && at->from == c ? at : nullptr;
}

char32_t MapSimple(const CaseRange* ranges, size_t count, char32_t c) {
  const CaseRange* end = ranges + count;
  const CaseRange* at =
      std::partition_point(ranges, end, [c](const CaseRange& range) { return range.last < c; });
  if (at == end || at->first > c || (c - at->first) % at->stride != 0) return c;
  return static_cast<char32_t>(static_cast<int64_t>(c) + at->delta);
}

void AppendSpecial(std::string& out, const SpecialCase& special) {
  for (uint32_t to : special.to) {
    if (to != 0) AppendUtf8(to, out);
  }
}

void AppendUpper(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  } else if (const auto* special = FindSpecial(kToUpperSpecial, kToUpperSpecialCount, c)) {
    AppendSpecial(out, *special);
  } else {
    AppendUtf8(MapSimple(kToUpper, kToUpperCount, c), out);
  }
}

void AppendTitle(std::string& out, char32_t c) {
  if (const auto* special = FindSpecial(kToTitleSpecial, kToTitleSpecialCount, c)) {
    AppendSpecial(out, *special);
  } else {
    AppendUpper(out, c);
  }
}

bool IsCased(char32_t c) { return InRanges(kCased, kCasedCount, c); }

bool IsCaseIgnorable(char32_t c) { return InRanges(kCaseIgnorable, kCaseIgnorableCount, c); }

// The sigma at [begin, end) ends a word: a cased letter before it and none after, each looked for
// past case-ignorable code points.
bool IsFinalSigma(std::string_view text, size_t begin, size_t end) {
  bool before = false;
  for (size_t i = begin; i > 0;) {
    do --i;
    while ((static_cast<unsigned char>(text[i]) & 0xC0) == 0x80);
    size_t at = i;
    const char32_t c = NextCodePoint(text, at);
    if (IsCaseIgnorable(c)) continue;
    before = IsCased(c);
    break;
  }
  if (!before) return false;
  for (size_t i = end; i < text.size();) {
    const char32_t c = NextCodePoint(text, i);
    if (!IsCaseIgnorable(c)) return !IsCased(c);
  }
  return true;
}

// Appends the lower case of the code point at [begin, end).
void AppendLower(std::string& out, std::string_view text, size_t begin, size_t end, char32_t c) {
  constexpr char32_t kSigma = 0x3A3;
  constexpr char32_t kFinalSigma = 0x3C2;
  if (c < 0x80) {
    out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  } else if (c == kSigma && IsFinalSigma(text, begin, end)) {
    AppendUtf8(kFinalSigma, out);
  } else if (const auto* special = FindSpecial(kToLowerSpecial, kToLowerSpecialCount, c)) {
    AppendSpecial(out, *special);
  } else {
    AppendUtf8(MapSimple(kToLower, kToLowerCount, c), out);
  }
}

// Calls `append(c, begin, end)` for each code point of the text.
template <typename Append>
void ForEach(std::string_view text, Append append) {
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const char32_t c = NextCodePoint(text, i);
    append(c, begin, i);
  }
}

}  // namespace

bool ValidUtf8(std::string_view text) { return ReplaceInvalidUtf8(text) == text; }

size_t CodePointCount(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
  }));
}

size_t ByteOffset(std::string_view text, size_t code_point_index) {
  size_t i = 0;
  while (i < text.size() && code_point_index > 0) {
    ++i;
    while (i < text.size() && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80) ++i;
    --code_point_index;
  }
  return i;
}

char32_t NextCodePoint(std::string_view text, size_t& offset) {
  const auto lead = static_cast<unsigned char>(text[offset++]);
  if (lead < 0x80) return lead;
  const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
  char32_t c = lead & (0x3F >> more);
  for (int k = 0; k < more && offset < text.size(); ++k) {
    c = (c << 6) | (static_cast<unsigned char>(text[offset++]) & 0x3F);
  }
  return c;
}

bool Is(CharClass char_class, char32_t c) {
  switch (char_class) {
    case CharClass::kAlpha: return InRanges(kAlpha, kAlphaCount, c);
    case CharClass::kDecimal: return InRanges(kDecimal, kDecimalCount, c);
    case CharClass::kDigit: return InRanges(kDigit, kDigitCount, c);
    case CharClass::kNumeric: return InRanges(kNumeric, kNumericCount, c);
    case CharClass::kPrintable: return InRanges(kPrintable, kPrintableCount, c);
    case CharClass::kLower: return InRanges(kLower, kLowerCount, c);
    case CharClass::kUpper: return InRanges(kUpper, kUpperCount, c);
  }
  return false;
}

bool IsAlnum(char32_t c) {
  return Is(CharClass::kAlpha, c) || Is(CharClass::kNumeric, c) || Is(CharClass::kDigit, c);
}

bool IsSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

std::string ToLower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  ForEach(text,
          [&](char32_t c, size_t begin, size_t end) { AppendLower(out, text, begin, end, c); });
  return out;
}

std::string ToUpper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  ForEach(text, [&](char32_t c, size_t, size_t) { AppendUpper(out, c); });
  return out;
}

std::string Capitalize(std::string_view text) {
  std::string out;
  ForEach(text, [&](char32_t c, size_t begin, size_t end) {
    if (begin == 0) {
      AppendTitle(out, c);
    } else {
      AppendLower(out, text, begin, end, c);
    }
  });
  return out;
}

std::string ToTitle(std::string_view text) {
  std::string out;
  bool after_cased = false;
  ForEach(text, [&](char32_t c, size_t begin, size_t end) {
    if (after_cased) {
      AppendLower(out, text, begin, end, c);
    } else {
      AppendTitle(out, c);
    }
    after_cased = IsCased(c);
  });
  return out;
}

std::string SwapCase(std::string_view text) {
  std::string out;
  ForEach(text, [&](char32_t c, size_t begin, size_t end) {
    if (Is(CharClass::kUpper, c)) {
      AppendLower(out, text, begin, end, c);
    } else if (Is(CharClass::kLower, c)) {
      AppendUpper(out, c);
    } else {
      AppendUtf8(c, out);
    }
  });
  return out;
}

std::string CaseFold(std::string_view text) {
  std::string out;
  ForEach(text, [&](char32_t c, size_t begin, size_t end) {
    if (const auto* special = FindSpecial(kToFoldSpecial, kToFoldSpecialCount, c)) {
      AppendSpecial(out, *special);
    } else {
      // By itself, so that no sigma is final.
      AppendLower(out, text.substr(begin, end - begin), 0, end - begin, c);
    }
  });
  return out;
}

bool IsLowerText(std::string_view text) {
  bool found = false;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = NextCodePoint(text, i);
    if (Is(CharClass::kLower, c)) {
      found = true;
    } else if (IsCased(c)) {
      return false;
    }
  }
  return found;
}

bool IsUpperText(std::string_view text) {
  bool found = false;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = NextCodePoint(text, i);
    if (Is(CharClass::kUpper, c)) {
      found = true;
    } else if (IsCased(c)) {
      return false;
    }
  }
  return found;
}

bool IsTitleText(std::string_view text) {
  bool after_cased = false;
  bool found = false;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = NextCodePoint(text, i);
    if (Is(CharClass::kLower, c)) {
      if (!after_cased) return false;
      after_cased = true;
    } else if (IsCased(c)) {  // upper or title case
      if (after_cased) return false;
      after_cased = found = true;
    } else {
      after_cased = false;
    }
    if (after_cased) found = true;
  }
  return found;
}

}  // namespace shoal::jinja
