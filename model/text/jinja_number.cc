#include "model/text/jinja_number.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "model/text/jinja_heap.h"
#include "model/text/jinja_text.h"

namespace shoal::jinja {
namespace {

// Takes out the underscores that Python allows between digits; nullopt for others.
std::optional<std::string> WithoutUnderscores(std::string_view text) {
  std::string out;
  const auto is_digit = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || i + 1 >= text.size() || !is_digit(text[i - 1]) || !is_digit(text[i + 1])) {
      return std::nullopt;
    }
  }
  return out;
}

int DigitValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'z' ? lower - 'a' + 10 : 36;
}

}  // namespace

Result<std::optional<Int>> ParseInt(std::string_view text, Int base) {
  const std::optional<Int> none;
  if (base != 0 && (base < 2 || base > 36)) return none;
  text = StripText(text, std::nullopt, Side::kBoth);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  static constexpr std::pair<char, int> kPrefixes[] = {{'x', 16}, {'o', 8}, {'b', 2}};
  for (const auto& [letter, prefix_base] : kPrefixes) {
    const bool has = text.size() > 2 && text[0] == '0' && (text[1] | 0x20) == letter;
    if (!has || (base != 0 && base != prefix_base)) continue;
    base = prefix_base;
    text.remove_prefix(text[2] == '_' ? 3 : 2);
    break;
  }
  const auto digits = WithoutUnderscores(text);
  if (!digits || digits->empty()) return none;
  if (base == 0) {
    base = 10;
    if ((*digits)[0] == '0' && digits->find_first_not_of('0') != std::string::npos) return none;
  }
  Int value = 0;
  bool overflow = false;
  for (const char c : *digits) {
    const int digit = DigitValue(c);
    if (digit >= base) return none;
    overflow = overflow || __builtin_mul_overflow(value, base, &value) ||
               __builtin_add_overflow(value, Int{digit}, &value);
  }
  if (overflow) return Fail("an integer of more than 128 bits");
  return std::optional<Int>(negative ? -value : value);
}

std::optional<double> ParseFloat(std::string_view text) {
  const auto plain = WithoutUnderscores(StripText(text, std::nullopt, Side::kBoth));
  if (!plain || plain->empty()) return std::nullopt;
  std::string rest = plain->substr((*plain)[0] == '+' || (*plain)[0] == '-' ? 1 : 0);
  std::transform(rest.begin(), rest.end(), rest.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const double sign = (*plain)[0] == '-' ? -1 : 1;
  if (rest == "inf" || rest == "infinity") return sign * HUGE_VAL;
  if (rest == "nan") return std::nan("");
  // strtod reads more than Python does (hexadecimal, nan(...)): only digits, a point, an exponent.
  if (rest.empty() || rest.find_first_not_of("0123456789.e+-") != std::string::npos) {
    return std::nullopt;
  }
  if (rest[0] == '+' || rest[0] == '-') return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(rest.c_str(), &end);
  if (end != rest.c_str() + rest.size()) return std::nullopt;
  return sign * value;
}

Result<Value> FloatToInt(double number) {
  if (!(std::abs(number) < 0x1p126)) return Fail("an integer of more than 128 bits");
  return Value::Integer(static_cast<Int>(number));
}

Result<Value> RoundNumber(const Value& value, Int digits) {
  if (value.is(Type::kFloat)) {
    const double number = value.number();
    constexpr Int kExact = 323;  // more decimals than any float has before it runs out
    if (!std::isfinite(number) || digits > kExact) return value;
    if (digits < -308) return Value::Float(std::copysign(0.0, number));
    if (digits >= 0) {
      std::vector<char> buffer(1024);
      std::snprintf(buffer.data(), buffer.size(), "%.*f", static_cast<int>(digits), number);
      return Value::Float(std::strtod(buffer.data(), nullptr));
    }
    const double scale = std::pow(10.0, static_cast<double>(-digits));
    return Value::Float(std::nearbyint(number / scale) * scale);
  }
  if (digits >= 0) return Value::Integer(value.integer());
  if (digits < -37) return Value::Integer(0);
  Int scale = 1;
  for (Int i = 0; i < -digits; ++i) scale *= 10;
  const Int number = value.integer();
  const Int magnitude = number < 0 ? -number : number;
  const Int rest = magnitude % scale;
  Int rounded = magnitude - rest;
  if (rest * 2 > scale || (rest * 2 == scale && (rounded / scale) % 2 == 1)) {
    if (__builtin_add_overflow(rounded, scale, &rounded)) {
      return Fail("an integer of more than 128 bits");
    }
  }
  return Value::Integer(number < 0 ? -rounded : rounded);
}

}  // namespace shoal::jinja
