#include "model/text/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "model/text/jinja_unicode.h"
#include "model/text/utf8.h"

namespace shoal::jinja {
namespace {

Error SyntaxError(int line, const std::string& message) {
  return InvalidArgument("line " + std::to_string(line) + ": " + message);
}

// Line ends as \n, and without the last one.
std::string NormalizeSource(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
      out += '\n';
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsNameByte(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

// White space from `offset` on.
size_t SkipSpace(std::string_view text, size_t offset) {
  while (offset < text.size()) {
    size_t next = offset;
    if (!IsSpace(NextCodePoint(text, next))) break;
    offset = next;
  }
  return offset;
}

std::string_view StripRight(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t begin = end - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    size_t at = begin;
    if (!IsSpace(NextCodePoint(text, at))) break;
    end = begin;
  }
  return text.substr(0, end);
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  Result<std::vector<Token>> Run() {
    while (position_ < source_.size()) RETURN_IF_ERROR(NextTag());
    Add(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  char At(size_t offset) const { return offset < source_.size() ? source_[offset] : '\0'; }

  bool Follows(size_t offset, std::string_view text) const {
    return source_.substr(std::min(offset, source_.size()), text.size()) == text;
  }

  void Add(TokenKind kind, std::string text = {}) {
    Token token;
    token.kind = kind;
    token.line = line_;
    token.text = std::move(text);
    tokens_.push_back(std::move(token));
  }

  // Moves on, counting lines.
  void MoveTo(size_t offset) {
    line_ +=
        static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(position_),
                                    source_.begin() + static_cast<std::ptrdiff_t>(offset), '\n'));
    position_ = offset;
  }

  void AddData(size_t end, char sign, bool strips_line) {
    std::string_view text = source_.substr(position_, end - position_);
    if (sign == '-') {
      text = StripRight(text);
    } else if (sign != '+' && strips_line) {
      const size_t newline = text.rfind('\n');
      const size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
      const bool at_line_start = line_begin > 0 || line_starting_;
      if (at_line_start && SkipSpace(text, line_begin) == text.size()) {
        text = text.substr(0, line_begin);
      }
    }
    if (!text.empty()) Add(TokenKind::kData, std::string(text));
    MoveTo(end);
  }

  // The text up to the next tag, and the tag.
  Status NextTag() {
    size_t begin = position_;
    while (true) {
      begin = source_.find('{', begin);
      if (begin == std::string_view::npos || begin + 1 >= source_.size()) {
        AddData(source_.size(), '+', false);
        return OkStatus();
      }
      const char second = source_[begin + 1];
      if (second == '{' || second == '%' || second == '#') break;
      ++begin;
    }
    const char sign = At(begin + 2) == '-' || At(begin + 2) == '+' ? source_[begin + 2] : '\0';
    const size_t inside = begin + 2 + (sign != '\0' ? 1 : 0);
    const char kind = source_[begin + 1];
    AddData(begin, sign, kind != '{');
    if (kind == '#') return Comment(inside);
    if (kind == '%') {
      if (const auto raw = RawBegin(inside)) return Raw(*raw);
    }
    Add(kind == '{' ? TokenKind::kVariableBegin : TokenKind::kBlockBegin);
    MoveTo(inside);
    return Tag(kind == '{');
  }

  // Moves past the end of a block or comment, with what its white-space rules take.
  void FinishBlock(size_t end, char sign) {
    if (sign == '-') {
      end = SkipSpace(source_, end);
    } else if (sign != '+' && At(end) == '\n') {
      ++end;
    }
    line_starting_ = end > 0 && source_[end - 1] == '\n';
    MoveTo(end);
  }

  Status Comment(size_t inside) {
    const size_t close = source_.find("#}", inside);
    if (close == std::string_view::npos) return SyntaxError(line_, "Missing end of comment tag");
    const char before = close > inside ? source_[close - 1] : '\0';
    FinishBlock(close + 2, before);
    return OkStatus();
  }

  // The offset past `raw %}`, if that is what stands here.
  std::optional<size_t> RawBegin(size_t inside) const {
    size_t at = SkipSpace(source_, inside);
    if (!Follows(at, "raw")) return std::nullopt;
    at = SkipSpace(source_, at + 3);
    if (Follows(at, "%}")) return at + 2;
    if (Follows(at, "-%}")) return SkipSpace(source_, at + 3);
    return std::nullopt;
  }

  Status Raw(size_t inside) {
    MoveTo(inside);
    line_starting_ = inside > 0 && source_[inside - 1] == '\n';
    for (size_t at = source_.find("{%", inside); at != std::string_view::npos;
         at = source_.find("{%", at + 1)) {
      const char sign = At(at + 2) == '-' || At(at + 2) == '+' ? source_[at + 2] : '\0';
      size_t end = SkipSpace(source_, at + 2 + (sign != '\0' ? 1 : 0));
      if (!Follows(end, "endraw")) continue;
      end = SkipSpace(source_, end + 6);
      const char end_sign = At(end) == '-' || At(end) == '+' ? source_[end] : '\0';
      if (end_sign != '\0') ++end;
      if (!Follows(end, "%}")) continue;
      AddData(at, sign, true);
      FinishBlock(end + 2, end_sign);
      return OkStatus();
    }
    return SyntaxError(line_, "Missing end of raw directive");
  }

  // The tokens of a {{ }} or {% %} tag.
  Status Tag(bool variable) {
    const std::string_view close = variable ? "}}" : "%}";
    while (true) {
      MoveTo(SkipSpace(source_, position_));
      if (position_ >= source_.size()) return OkStatus();  // the parser misses the end of the tag
      if (open_brackets_.empty()) {
        const char sign = At(position_);
        const bool has_sign =
            (sign == '-' || (sign == '+' && !variable)) && Follows(position_ + 1, close);
        if (has_sign || Follows(position_, close)) {
          Add(variable ? TokenKind::kVariableEnd : TokenKind::kBlockEnd);
          const size_t end = position_ + close.size() + (has_sign ? 1 : 0);
          // A variable keeps the line end behind it.
          FinishBlock(end, has_sign ? sign : variable ? '+' : '\0');
          return OkStatus();
        }
      }
      RETURN_IF_ERROR(TagToken());
    }
  }

  Status TagToken() {
    const char c = source_[position_];
    if (IsDigit(c)) return Number();
    if (IsNameByte(c)) return Name();
    if (c == '"' || c == '\'') return String();
    return Operator();
  }

  Status Name() {
    size_t end = position_;
    while (end < source_.size() && IsNameByte(source_[end])) ++end;
    Add(TokenKind::kName, std::string(source_.substr(position_, end - position_)));
    position_ = end;
    return OkStatus();
  }

  // Digits that may be separated by single underscores; appends them to `digits`.
  size_t Digits(size_t at, std::string& digits, bool (*is_digit)(char)) const {
    while (true) {
      if (is_digit(At(at))) {
        digits += source_[at++];
      } else if (At(at) == '_' && !digits.empty() && is_digit(At(at + 1))) {
        ++at;
      } else {
        return at;
      }
    }
  }

  Status Number() {
    const bool after_dot = position_ > 0 && source_[position_ - 1] == '.';
    std::string text;
    size_t end = Digits(position_, text, IsDigit);
    bool is_float = false;
    size_t at = end;
    std::string fraction;
    if (At(at) == '.' && IsDigit(At(at + 1))) {
      at = Digits(at + 1, fraction, IsDigit);
      is_float = true;
      end = at;
      text += "." + fraction;
    }
    if (At(at) == 'e' || At(at) == 'E') {
      std::string exponent;
      const size_t sign = At(at + 1) == '+' || At(at + 1) == '-' ? 1 : 0;
      const size_t exponent_end = Digits(at + 1 + sign, exponent, IsDigit);
      if (!exponent.empty()) {
        text += std::string("e") + (At(at + 1) == '-' ? "-" : "") + exponent;
        is_float = true;
        end = exponent_end;
      }
    }
    if (!is_float || after_dot) return Integer();
    Add(TokenKind::kFloat);
    std::from_chars(text.data(), text.data() + text.size(), tokens_.back().number);
    // from_chars leaves the value alone where it does not fit.
    if (tokens_.back().number == 0) tokens_.back().number = std::strtod(text.c_str(), nullptr);
    position_ = end;
    return OkStatus();
  }

  Status Integer() {
    std::string digits;
    int base = 10;
    size_t end = position_;
    const char prefix =
        source_[position_] == '0' ? static_cast<char>(At(position_ + 1) | 0x20) : '\0';
    if (prefix == 'x' || prefix == 'o' || prefix == 'b') {
      base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : 2;
      const size_t first = position_ + 2 + (At(position_ + 2) == '_' ? 1 : 0);
      end = Digits(
          first, digits,
          prefix == 'x'   ? [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; }
          : prefix == 'o' ? [](char c) { return c >= '0' && c <= '7'; }
                          : [](char c) { return c == '0' || c == '1'; });
    }
    if (digits.empty()) {
      base = 10;
      end = source_[position_] == '0' ? Digits(position_, digits, [](char c) { return c == '0'; })
                                      : Digits(position_, digits, IsDigit);
    }
    Int value = 0;
    for (const char c : digits) {
      const int digit = IsDigit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
      if (__builtin_mul_overflow(value, Int{base}, &value) ||
          __builtin_add_overflow(value, Int{digit}, &value)) {
        return SyntaxError(line_, "an integer of more than 128 bits");
      }
    }
    Add(TokenKind::kInteger, digits);
    tokens_.back().integer = value;
    position_ = end;
    return OkStatus();
  }

  Status Operator() {
    static constexpr std::array<std::string_view, 6> kLong = {"//", "**", "==", "!=", ">=", "<="};
    static constexpr std::string_view kShort = "+-/*%~[](){}><=.:|,;";
    std::string_view text = source_.substr(position_, 2);
    if (text.size() < 2 || std::find(kLong.begin(), kLong.end(), text) == kLong.end()) {
      text = source_.substr(position_, 1);
      if (kShort.find(text[0]) == std::string_view::npos) {
        size_t end = position_;
        NextCodePoint(source_, end);
        return SyntaxError(
            line_,
            "unexpected char '" + std::string(source_.substr(position_, end - position_)) + "'");
      }
    }
    const char c = text[0];
    if (c == '(' || c == '[' || c == '{') {
      open_brackets_ += c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
      if (open_brackets_.empty())
        return SyntaxError(line_, "unexpected '" + std::string(text) + "'");
      if (open_brackets_.back() != c) {
        return SyntaxError(line_, "unexpected '" + std::string(text) + "', expected '" +
                                      open_brackets_.back() + "'");
      }
      open_brackets_.pop_back();
    }
    Add(TokenKind::kOperator, std::string(text));
    position_ += text.size();
    return OkStatus();
  }

  Status String();
  Status Escape(size_t& at, std::string& out);
  Status NumericEscape(size_t& at, size_t digits, unsigned base, std::string& out);

  const std::string_view source_;
  size_t position_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // the text before position_ ends a line
  std::string open_brackets_;  // the closing brackets that are awaited
  std::optional<char32_t> high_surrogate_;
  std::vector<Token> tokens_;
};

Status Lexer::String() {
  const char quote = source_[position_];
  std::string out;
  size_t at = position_ + 1;
  while (true) {
    if (at >= source_.size()) {
      return SyntaxError(line_, std::string("unexpected char '") + quote + "'");
    }
    const char c = source_[at];
    const bool escape = c == '\\';
    if (high_surrogate_ && !(escape && At(at + 1) == 'u')) break;
    if (c == quote) break;
    if (escape) {
      RETURN_IF_ERROR(Escape(at, out));
    } else {
      out += c;
      ++at;
    }
  }
  if (high_surrogate_) return SyntaxError(line_, "a string with half of a surrogate pair");
  Add(TokenKind::kString, std::move(out));
  MoveTo(at + 1);
  return OkStatus();
}

// Resolves the escape at `at` as Python's unicode_escape codec does.
Status Lexer::Escape(size_t& at, std::string& out) {
  static constexpr std::string_view kFrom = "\\'\"abfnrtv";
  static constexpr std::string_view kTo = "\\'\"\a\b\f\n\r\t\v";
  const char c = At(at + 1);
  if (at + 1 >= source_.size()) {
    ++at;
    return OkStatus();  // the string has no end, which is found next
  }
  if (const size_t simple = kFrom.find(c); simple != std::string_view::npos) {
    out += kTo[simple];
    at += 2;
  } else if (c == '\n') {
    at += 2;
  } else if (c >= '0' && c <= '7') {
    size_t digits = 1;
    while (digits < 3 && At(at + 1 + digits) >= '0' && At(at + 1 + digits) <= '7') ++digits;
    at += 1;
    return NumericEscape(at, digits, 8, out);
  } else if (c == 'x' || c == 'u' || c == 'U') {
    at += 2;
    return NumericEscape(at, c == 'x' ? 2 : c == 'u' ? 4 : 8, 16, out);
  } else if (c == 'N') {
    return SyntaxError(line_, "\\N escapes are not supported");
  } else if (static_cast<unsigned char>(c) < 0x80) {
    out += '\\';
    out += c;
    at += 2;
  } else {
    // Jinja2 escapes what is not ASCII first, so that this backslash meets that escape's own.
    size_t next = at + 1;
    const char32_t code = NextCodePoint(source_, next);
    std::array<char, 16> text;
    const int width = code < 0x100 ? 2 : code < 0x10000 ? 4 : 8;
    std::snprintf(text.data(), text.size(), "\\%c%0*x",
                  width == 2   ? 'x'
                  : width == 4 ? 'u'
                               : 'U',
                  width, static_cast<unsigned>(code));
    out += text.data();
    at = next;
  }
  return OkStatus();
}

Status Lexer::NumericEscape(size_t& at, size_t digits, unsigned base, std::string& out) {
  char32_t code = 0;
  const char* begin = source_.data() + at;
  const char* end = source_.data() + std::min(source_.size(), at + digits);
  uint32_t value = 0;
  const auto parsed = std::from_chars(begin, end, value, static_cast<int>(base));
  if (parsed.ec != std::errc() || parsed.ptr != begin + digits || value > 0x10FFFF) {
    return SyntaxError(line_, "a string with a truncated or impossible escape");
  }
  code = value;
  at += digits;
  if (high_surrogate_) {
    if (code < 0xDC00 || code > 0xDFFF) {
      return SyntaxError(line_, "a string with half of a surrogate pair");
    }
    code = 0x10000 + ((*high_surrogate_ - 0xD800) << 10) + (code - 0xDC00);
    high_surrogate_.reset();
  } else if (code >= 0xD800 && code <= 0xDBFF) {
    high_surrogate_ = code;
    return OkStatus();
  } else if (code >= 0xDC00 && code <= 0xDFFF) {
    return SyntaxError(line_, "a string with half of a surrogate pair");
  }
  AppendUtf8(code, out);
  return OkStatus();
}

}  // namespace

Result<std::vector<Token>> Tokenize(std::string_view source) {
  const std::string normalized = NormalizeSource(source);
  return Lexer(normalized).Run();
}

}  // namespace shoal::jinja
