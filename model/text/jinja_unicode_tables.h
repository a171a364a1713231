// The data behind jinja_unicode.h: sorted ranges of code points, made by
// tools/make_unicode_tables.py.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shoal::jinja {

struct CharRange {
  uint32_t first;
  uint32_t last;
};

// Every `stride`th code point of [first, last] maps to itself plus `delta`.
struct CaseRange {
  uint32_t first;
  uint32_t last;
  uint32_t stride;
  int32_t delta;
};

// A mapping to up to three code points; the rest are 0.
struct SpecialCase {
  uint32_t from;
  uint32_t to[3];
};

extern const CharRange kAlpha[], kDecimal[], kDigit[], kNumeric[], kPrintable[], kLower[], kUpper[],
    kCased[], kCaseIgnorable[];
extern const size_t kAlphaCount, kDecimalCount, kDigitCount, kNumericCount, kPrintableCount,
    kLowerCount, kUpperCount, kCasedCount, kCaseIgnorableCount;
extern const CaseRange kToLower[], kToUpper[];
extern const size_t kToLowerCount, kToUpperCount;
extern const SpecialCase kToLowerSpecial[], kToUpperSpecial[], kToTitleSpecial[], kToFoldSpecial[];
extern const size_t kToLowerSpecialCount, kToUpperSpecialCount, kToTitleSpecialCount,
    kToFoldSpecialCount;

}  // namespace shoal::jinja
