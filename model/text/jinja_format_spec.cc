#include "model/text/jinja_format_spec.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "model/text/chat_template.h"
#include "model/text/jinja_repr.h"
#include "model/text/jinja_unicode.h"
#include "model/text/utf8.h"

namespace shoal::jinja {
namespace {

constexpr Int kMaxPrecision = 2000;  // digits; a float has no more than 767 that matter

// Reads a number; one that is too large fails later, as a width.
Int ReadNumber(std::string_view text, size_t& at) {
  Int number = 0;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
    number = std::min<Int>(number * 10 + (text[at++] - '0'), std::numeric_limits<int64_t>::max());
  }
  return number;
}

bool IsAlign(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

std::string Group(const std::string& digits, char separator, size_t every) {
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % every == 0) out += separator;
    out += digits[i];
  }
  return out;
}

// Puts the parts of a number together: sign, prefix ("0x"), digits that may be grouped, and the
// rest.
Result<std::string> Assemble(Heap& heap, bool negative, std::string prefix, std::string digits,
                             const std::string& rest, const FormatSpec& spec) {
  if (negative) {
    prefix.insert(0, "-");
  } else if (spec.sign != '-') {
    prefix.insert(0, 1, spec.sign);
  }
  const size_t every =
      spec.type == 'x' || spec.type == 'X' || spec.type == 'o' || spec.type == 'b' ? 4 : 3;
  if (spec.align == '=') {
    const auto have = static_cast<Int>(prefix.size() + digits.size() + rest.size());
    if (spec.width > have) {
      const auto missing = static_cast<size_t>(
          std::min<Int>(spec.width - have, TemplateLimits::kMaxOutputBytes + 1));
      RETURN_IF_ERROR(heap.SpendText(missing * spec.fill.size()));
      std::string fill;
      for (size_t i = 0; i < missing; ++i) fill += spec.fill;
      if (spec.fill == "0" && spec.grouping != '\0') {
        // Zeros are grouped as digits are, and there are so many that the whole is wide enough.
        digits = fill + digits;
        const auto whole = [&] { return Group(digits, spec.grouping, every); };
        while (digits.size() > 1 && digits[0] == '0' &&
               static_cast<Int>(prefix.size() + rest.size() +
                                Group(digits.substr(1), spec.grouping, every).size()) >=
                   spec.width) {
          digits.erase(0, 1);
        }
        return prefix + whole() + rest;
      }
      prefix += fill;
    }
  }
  if (spec.grouping != '\0') digits = Group(digits, spec.grouping, every);
  return Pad(heap, prefix + digits + rest, spec.width, spec.fill,
             spec.align == '\0' || spec.align == '=' ? '>' : spec.align);
}

std::string DigitsOf(unsigned __int128 value, unsigned base, bool upper) {
  const std::string_view symbols = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string digits;
  do {
    digits += symbols[static_cast<size_t>(value % base)];
    value /= base;
  } while (value != 0);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

std::string Printf(double value, char type, int precision, bool alternate) {
  const char format[] = {'%',
                         alternate ? '#' : '.',
                         alternate ? '.' : '*',
                         alternate ? '*' : type,
                         alternate ? type : '\0',
                         '\0'};
  const int size = std::snprintf(nullptr, 0, format, precision, value);
  std::vector<char> buffer(static_cast<size_t>(size) + 1);
  std::snprintf(buffer.data(), buffer.size(), format, precision, value);
  return buffer.data();
}

}  // namespace

Result<FormatSpec> ParseFormatSpec(std::string_view text) {
  FormatSpec spec;
  size_t at = 0;
  if (!text.empty()) {
    size_t second = 0;
    NextCodePoint(text, second);
    if (second < text.size() && IsAlign(text[second])) {
      spec.fill = std::string(text.substr(0, second));
      spec.align = text[second];
      at = second + 1;
    } else if (IsAlign(text[0])) {
      spec.align = text[0];
      at = 1;
    }
  }
  const auto take = [&](std::string_view any) {
    return at < text.size() && any.find(text[at]) != std::string_view::npos ? text[at++] : '\0';
  };
  if (const char sign = take("+- ")) spec.sign = sign;
  spec.alternate = take("#") != '\0';
  if (take("0") != '\0' && spec.align == '\0') {
    spec.fill = "0";
    spec.align = '=';
  }
  spec.width = ReadNumber(text, at);
  spec.grouping = take(",_");
  if (take(".") != '\0') {
    const size_t begin = at;
    spec.precision = ReadNumber(text, at);
    if (at == begin) return Fail("Format specifier missing precision");
  }
  if (at < text.size()) spec.type = text[at++];
  if (at != text.size()) return Fail("Invalid format specifier '" + std::string(text) + "'");
  return spec;
}

Result<std::string> Pad(Heap& heap, std::string_view text, Int width, std::string_view fill,
                        char align) {
  const auto have = static_cast<Int>(CodePointCount(text));
  if (width <= have) return std::string(text);
  const auto missing =
      static_cast<size_t>(std::min<Int>(width - have, TemplateLimits::kMaxOutputBytes + 1));
  RETURN_IF_ERROR(heap.SpendText(text.size() + missing * fill.size()));
  const size_t left = align == '<' ? 0 : align == '>' ? missing : missing / 2;
  std::string out;
  for (size_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (size_t i = left; i < missing; ++i) out += fill;
  return out;
}

Result<std::string> FormatText(Heap& heap, std::string_view text, const FormatSpec& spec) {
  if (spec.type != '\0' && spec.type != 's') {
    return Fail(std::string("Unknown format code '") + spec.type + "' for object of type 'str'");
  }
  if (spec.sign != '-' || spec.alternate || spec.grouping != '\0' ||
      (spec.align == '=' && spec.fill != "0")) {
    return Fail("this format is not allowed for a string");
  }
  RETURN_IF_ERROR(heap.SpendText(text.size()));
  if (spec.precision >= 0 && spec.precision < static_cast<Int>(text.size())) {
    text = text.substr(0, ByteOffset(text, static_cast<size_t>(spec.precision)));
  }
  const char align = spec.align == '\0' || spec.align == '=' ? '<' : spec.align;
  return Pad(heap, text, spec.width, spec.fill, align);
}

Result<std::string> FormatInt(Heap& heap, Int value, const FormatSpec& spec) {
  if (std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos) {
    return FormatFloat(heap, static_cast<double>(value), spec);
  }
  if (spec.precision >= 0) return Fail("Precision not allowed in integer format specifier");
  const auto magnitude =
      value < 0 ? -static_cast<unsigned __int128>(value) : static_cast<unsigned __int128>(value);
  unsigned base = 10;
  std::string prefix;
  switch (spec.type) {
    case '\0':
    case 'd':
    case 'n': break;
    case 'x': base = 16, prefix = "0x"; break;
    case 'X': base = 16, prefix = "0X"; break;
    case 'o': base = 8, prefix = "0o"; break;
    case 'b': base = 2, prefix = "0b"; break;
    case 'c': {
      if (value < 0 || value > kMaxCodePoint || (value >= 0xD800 && value <= 0xDFFF)) {
        return Fail("%c arg not in range(0x110000)");
      }
      std::string text;
      AppendUtf8(static_cast<uint32_t>(value), text);
      return Pad(heap, text, spec.width, spec.fill, spec.align == '\0' ? '<' : spec.align);
    }
    default:
      return Fail(std::string("Unknown format code '") + spec.type + "' for object of type 'int'");
  }
  return Assemble(heap, value < 0, spec.alternate ? prefix : "",
                  DigitsOf(magnitude, base, spec.type == 'X'), "", spec);
}

Result<std::string> FormatFloat(Heap& heap, double value, const FormatSpec& spec) {
  if (spec.precision > kMaxPrecision) return Fail("precision too big");
  const bool percent = spec.type == '%';
  char type = percent ? 'f' : spec.type == 'n' ? 'g' : spec.type;
  if (type != '\0' && std::string_view("eEfFgG").find(type) == std::string_view::npos) {
    return Fail(std::string("Unknown format code '") + spec.type + "' for object of type 'float'");
  }
  const double magnitude = std::abs(percent ? value * 100 : value);
  std::string text;
  if (type == '\0' && spec.precision < 0) {
    text = FloatText(magnitude);
  } else if (type == '\0') {
    text = Printf(magnitude, 'g', static_cast<int>(std::max<Int>(spec.precision, 1)), false);
    if (text.find_first_of(".en") == std::string::npos) text += ".0";
  } else {
    const int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
    text = Printf(magnitude, type, precision, spec.alternate);
  }
  if (percent) text += '%';
  const size_t whole = std::min(text.find_first_not_of("0123456789"), text.size());
  return Assemble(heap, std::signbit(value) && !std::isnan(value), "", text.substr(0, whole),
                  text.substr(whole), spec);
}

}  // namespace shoal::jinja
