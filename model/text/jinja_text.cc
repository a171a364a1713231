#include "model/text/jinja_text.h"

#include <string.h>

#include <algorithm>
#include <set>

#include "model/text/chat_template.h"
#include "model/text/jinja_unicode.h"

namespace shoal::jinja {
namespace {

constexpr size_t kNone = std::string_view::npos;

bool IsContinuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

size_t PreviousOffset(std::string_view text, size_t offset) {
  do --offset;
  while (offset > 0 && IsContinuation(text[offset]));
  return offset;
}

// Start of the run of white space (or of its opposite) that ends at `end`.
size_t RunBefore(std::string_view text, size_t end, bool space) {
  while (end > 0) {
    const size_t begin = PreviousOffset(text, end);
    size_t at = begin;
    if (IsSpace(NextCodePoint(text, at)) != space) break;
    end = begin;
  }
  return end;
}

size_t RunAfter(std::string_view text, size_t begin, bool space) {
  while (begin < text.size()) {
    size_t next = begin;
    if (IsSpace(NextCodePoint(text, next)) != space) break;
    begin = next;
  }
  return begin;
}

bool IsLineBreak(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

}  // namespace

size_t FindFirst(std::string_view text, std::string_view wanted, size_t from) {
  if (from > text.size()) return kNone;
  if (wanted.empty()) return from;
  // memmem is linear, which std::string::find is not.
  const void* found = memmem(text.data() + from, text.size() - from, wanted.data(), wanted.size());
  return found == nullptr ? kNone
                          : static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

size_t FindLast(std::string_view text, std::string_view wanted) {
  if (wanted.empty()) return text.size();
  const std::string reversed(text.rbegin(), text.rend());
  const std::string reversed_wanted(wanted.rbegin(), wanted.rend());
  const size_t found = FindFirst(reversed, reversed_wanted);
  return found == kNone ? kNone : text.size() - found - wanted.size();
}

size_t CountText(std::string_view text, std::string_view wanted) {
  if (wanted.empty()) return CodePointCount(text) + 1;
  size_t count = 0;
  for (size_t at = FindFirst(text, wanted); at != kNone;
       at = FindFirst(text, wanted, at + wanted.size())) {
    ++count;
  }
  return count;
}

std::string_view StripText(std::string_view text, std::optional<std::string_view> chars,
                           Side side) {
  std::set<char32_t> listed;
  if (chars) {
    for (size_t i = 0; i < chars->size();) listed.insert(NextCodePoint(*chars, i));
  }
  const auto strips = [&](char32_t c) { return chars ? listed.count(c) > 0 : IsSpace(c); };
  size_t begin = 0;
  while (side != Side::kRight && begin < text.size()) {
    size_t next = begin;
    if (!strips(NextCodePoint(text, next))) break;
    begin = next;
  }
  size_t end = text.size();
  while (side != Side::kLeft && end > begin) {
    const size_t previous = PreviousOffset(text, end);
    size_t at = previous;
    if (!strips(NextCodePoint(text, at))) break;
    end = previous;
  }
  return text.substr(begin, end - begin);
}

std::vector<std::string_view> SplitText(std::string_view text,
                                        std::optional<std::string_view> separator, Int limit) {
  std::vector<std::string_view> parts;
  const auto may_cut = [&] { return limit < 0 || static_cast<Int>(parts.size()) < limit; };
  if (separator) {
    size_t begin = 0;
    while (may_cut()) {
      const size_t at = FindFirst(text, *separator, begin);
      if (at == kNone) break;
      parts.push_back(text.substr(begin, at - begin));
      begin = at + separator->size();
    }
    parts.push_back(text.substr(begin));
    return parts;
  }
  size_t begin = RunAfter(text, 0, true);
  while (begin < text.size()) {
    if (!may_cut()) {
      parts.push_back(text.substr(begin));  // white space at its end included
      break;
    }
    const size_t end = RunAfter(text, begin, false);
    parts.push_back(text.substr(begin, end - begin));
    begin = RunAfter(text, end, true);
  }
  return parts;
}

std::vector<std::string_view> SplitTextFromRight(std::string_view text,
                                                 std::optional<std::string_view> separator,
                                                 Int limit) {
  std::vector<std::string_view> parts;
  const auto may_cut = [&] { return limit < 0 || static_cast<Int>(parts.size()) < limit; };
  if (separator) {
    // Cut where the reversed text would be cut from its left.
    const std::string reversed(text.rbegin(), text.rend());
    const std::string mirrored(separator->rbegin(), separator->rend());
    size_t begin = 0;
    while (may_cut()) {
      const size_t at = FindFirst(reversed, mirrored, begin);
      if (at == kNone) break;
      parts.push_back(text.substr(text.size() - at, at - begin));
      begin = at + mirrored.size();
    }
    parts.push_back(text.substr(0, text.size() - begin));
  } else {
    size_t end = RunBefore(text, text.size(), true);
    while (end > 0) {
      if (!may_cut()) {
        parts.push_back(text.substr(0, end));
        break;
      }
      const size_t begin = RunBefore(text, end, false);
      parts.push_back(text.substr(begin, end - begin));
      end = RunBefore(text, begin, true);
    }
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> SplitLines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t end = i;
    const char32_t c = NextCodePoint(text, i);
    if (!IsLineBreak(c)) continue;
    if (c == '\r' && i < text.size() && text[i] == '\n') ++i;
    lines.push_back(text.substr(begin, (keep_ends ? i : end) - begin));
    begin = i;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

Status AppendBounded(Heap& heap, std::string_view text, std::string& out) {
  RETURN_IF_ERROR(heap.SpendBytes(text.size()));
  if (out.size() + text.size() > TemplateLimits::kMaxOutputBytes) {
    return heap.SpendText(out.size() + text.size());
  }
  out += text;
  return OkStatus();
}

Result<std::string> ReplaceText(Heap& heap, std::string_view text, std::string_view from,
                                std::string_view to, Int limit) {
  RETURN_IF_ERROR(heap.SpendScan(text.size()));
  std::string out;
  size_t begin = 0;
  for (Int done = 0; limit < 0 || done < limit; ++done) {
    if (from.empty()) {
      // Before every code point and at the end.
      RETURN_IF_ERROR(AppendBounded(heap, to, out));
      if (begin >= text.size()) break;
      const size_t at = begin;
      NextCodePoint(text, begin);
      RETURN_IF_ERROR(AppendBounded(heap, text.substr(at, begin - at), out));
      continue;
    }
    const size_t at = FindFirst(text, from, begin);
    if (at == kNone) break;
    RETURN_IF_ERROR(AppendBounded(heap, text.substr(begin, at - begin), out));
    RETURN_IF_ERROR(AppendBounded(heap, to, out));
    begin = at + from.size();
  }
  RETURN_IF_ERROR(AppendBounded(heap, text.substr(std::min(begin, text.size())), out));
  return out;
}

Result<Value> ListOfTexts(Heap& heap, const std::vector<std::string_view>& texts, bool markup) {
  std::vector<Value> items;
  items.reserve(texts.size());
  for (const std::string_view text : texts) {
    ASSIGN_OR_RETURN(Value item, heap.String(std::string(text), markup));
    items.push_back(std::move(item));
  }
  return heap.List(std::move(items));
}

}  // namespace shoal::jinja
