// UTF-8 text as Python sees a str: code points, their classes, and case conversion by the full
// Unicode mappings. Every string passed in is valid UTF-8 (ValidUtf8 is the gate).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace shoal::jinja {

// No overlong forms, no surrogates, nothing beyond U+10FFFF.
bool ValidUtf8(std::string_view text);

size_t CodePointCount(std::string_view text);
// Byte offset of the code point with this index; text.size() where there are fewer.
size_t ByteOffset(std::string_view text, size_t code_point_index);
// Reads the code point at `offset` and moves `offset` past it. REQUIRES offset < text.size().
char32_t NextCodePoint(std::string_view text, size_t& offset);

enum class CharClass { kAlpha, kDecimal, kDigit, kNumeric, kPrintable, kLower, kUpper };
bool Is(CharClass char_class, char32_t c);
bool IsAlnum(char32_t c);
// str.isspace, which is also what `\s` matches in Python's regular expressions.
bool IsSpace(char32_t c);
// Whether all code points satisfy `holds` and there is at least one: str.isalpha and the like.
template <typename Predicate>
bool AllCodePoints(std::string_view text, Predicate holds) {
  for (size_t i = 0; i < text.size();) {
    if (!holds(NextCodePoint(text, i))) return false;
  }
  return !text.empty();
}

std::string ToLower(std::string_view text);
std::string ToUpper(std::string_view text);
std::string Capitalize(std::string_view text);
std::string ToTitle(std::string_view text);
std::string SwapCase(std::string_view text);
std::string CaseFold(std::string_view text);
bool IsLowerText(std::string_view text);
bool IsUpperText(std::string_view text);
bool IsTitleText(std::string_view text);

}  // namespace shoal::jinja
