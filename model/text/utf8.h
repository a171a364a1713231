// UTF-8 for tokenizers: text comes from clients and models and may hold any bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace shoal {

constexpr uint32_t kReplacementCharacter = 0xFFFD;
constexpr uint32_t kMaxCodePoint = 0x10FFFF;

// Bytes of the character that starts with `lead`, going by that byte alone: 1 to 4; a byte that
// cannot start a character counts as 1.
size_t Utf8LengthOf(uint8_t lead);

// Appends `code_point` as UTF-8. REQUIRES code_point <= kMaxCodePoint; surrogates are written as
// they are.
void AppendUtf8(uint32_t code_point, std::string& out);

struct Utf8Char {
  uint32_t code_point = 0;
  size_t bytes = 0;  // 0: no character starts here
};

// Reads the character at `offset` as the reference tokenizers do: over-long forms and surrogates
// pass. REQUIRES offset < text.size().
Utf8Char DecodeLenient(std::string_view text, size_t offset);

// The text that byte-level BPE sees: characters as DecodeLenient reads them, written in their
// shortest form, and U+FFFD for every byte that belongs to none.
std::string RepairUtf8(std::string_view text);

// Strictly valid UTF-8 (Unicode 3.9, table 3-7): every longest run of bytes that begins a character
// but does not finish it becomes one U+FFFD, and so does every other stray byte.
std::string ReplaceInvalidUtf8(std::string_view text);

// How many bytes at the end of `text` begin a character that further bytes could still complete.
size_t UnfinishedUtf8Bytes(std::string_view text);

}  // namespace shoal
