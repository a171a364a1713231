#include "model/text/utf8.h"

namespace shoal {

namespace {

bool IsContinuation(char c) { return (static_cast<uint8_t>(c) & 0xC0) == 0x80; }

// What a strictly valid character that starts with `lead` looks like.
struct StrictForm {
  size_t bytes;  // 0: no character starts so
  uint8_t second_min;
  uint8_t second_max;
};

StrictForm StrictFormOf(uint8_t lead) {
  if (lead < 0x80) return {1, 0, 0};
  if (lead < 0xC2) return {0, 0, 0};
  if (lead < 0xE0) return {2, 0x80, 0xBF};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};
  if (lead < 0xF0) return {3, 0x80, 0xBF};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead < 0xF4) return {4, 0x80, 0xBF};
  if (lead == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// Bytes of the longest beginning of `form`'s character at `offset`; form.bytes if it is whole.
size_t MatchStrict(std::string_view text, size_t offset, const StrictForm& form) {
  size_t matched = 1;
  while (matched < form.bytes && offset + matched < text.size()) {
    const auto byte = static_cast<uint8_t>(text[offset + matched]);
    const bool fits = matched == 1 ? byte >= form.second_min && byte <= form.second_max
                                   : IsContinuation(text[offset + matched]);
    if (!fits) break;
    ++matched;
  }
  return matched;
}

}  // namespace

size_t Utf8LengthOf(uint8_t lead) {
  if (lead < 0xC0) return 1;
  if (lead < 0xE0) return 2;
  return lead < 0xF0 ? 3 : 4;
}

void AppendUtf8(uint32_t code_point, std::string& out) {
  const auto continuation = [&](int shift) {
    out.push_back(static_cast<char>(0x80 | ((code_point >> shift) & 0x3F)));
  };
  if (code_point < 0x80) {
    out.push_back(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    out.push_back(static_cast<char>(0xC0 | (code_point >> 6)));
    continuation(0);
  } else if (code_point < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | (code_point >> 12)));
    continuation(6);
    continuation(0);
  } else {
    out.push_back(static_cast<char>(0xF0 | (code_point >> 18)));
    continuation(12);
    continuation(6);
    continuation(0);
  }
}

Utf8Char DecodeLenient(std::string_view text, size_t offset) {
  const auto lead = static_cast<uint8_t>(text[offset]);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xC0 || lead >= 0xF8) return {};
  const size_t bytes = Utf8LengthOf(lead);
  if (offset + bytes > text.size()) return {};
  uint32_t code_point = lead & (0xFFu >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) {
    if (!IsContinuation(text[offset + i])) return {};
    code_point = code_point << 6 | (static_cast<uint8_t>(text[offset + i]) & 0x3Fu);
  }
  if (code_point > kMaxCodePoint) return {};
  return {code_point, bytes};
}

std::string RepairUtf8(std::string_view text) {
  std::string repaired;
  repaired.reserve(text.size());
  for (size_t offset = 0; offset < text.size();) {
    const Utf8Char c = DecodeLenient(text, offset);
    AppendUtf8(c.bytes == 0 ? kReplacementCharacter : c.code_point, repaired);
    offset += c.bytes == 0 ? 1 : c.bytes;
  }
  return repaired;
}

std::string ReplaceInvalidUtf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  for (size_t offset = 0; offset < text.size();) {
    const StrictForm form = StrictFormOf(static_cast<uint8_t>(text[offset]));
    const size_t matched = form.bytes == 0 ? 1 : MatchStrict(text, offset, form);
    if (matched == form.bytes) {
      valid.append(text, offset, matched);
    } else {
      AppendUtf8(kReplacementCharacter, valid);
    }
    offset += matched;
  }
  return valid;
}

size_t UnfinishedUtf8Bytes(std::string_view text) {
  // An unfinished character is at most three bytes, and only its first is not a continuation.
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const size_t offset = text.size() - back;
    if (IsContinuation(text[offset])) continue;
    const StrictForm form = StrictFormOf(static_cast<uint8_t>(text[offset]));
    const bool unfinished = form.bytes > back && MatchStrict(text, offset, form) == back;
    return unfinished ? back : 0;
  }
  return 0;
}

}  // namespace shoal
