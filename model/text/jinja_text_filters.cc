// Filters on text, numbers and single values: part of jinja_filters.h.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "model/text/jinja_arguments.h"
#include "model/text/jinja_eval.h"
#include "model/text/jinja_filters.h"
#include "model/text/jinja_format.h"
#include "model/text/jinja_format_spec.h"
#include "model/text/jinja_json.h"
#include "model/text/jinja_methods.h"
#include "model/text/jinja_number.h"
#include "model/text/jinja_ops.h"
#include "model/text/jinja_repr.h"
#include "model/text/jinja_text.h"
#include "model/text/jinja_unicode.h"

namespace shoal::jinja {
namespace {

// The subject as text: a string as it is, Markup included, and str() of anything else.
Result<Value> SoftText(Heap& heap, const Value& subject) {
  if (subject.is(Type::kString)) return subject;
  ASSIGN_OR_RETURN(std::string text, ToText(heap, subject));
  return heap.String(std::move(text));
}

template <std::string (*convert)(std::string_view)>
Result<Value> ConvertedFilter(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("filter", arguments, {}));
  ASSIGN_OR_RETURN(const Value text, SoftText(renderer.heap(), subject));
  RETURN_IF_ERROR(renderer.heap().SpendScan(text.text().size()));
  return renderer.heap().String(convert(text.text()), IsMarkup(text));
}

// Upper case after a space, hyphen or opening bracket, unlike str.title.
std::string TitleFilter(std::string_view text) {
  std::string out;
  const auto separates = [](char32_t c) {
    return IsSpace(c) || std::u32string_view(U"-({[<").find(c) != std::u32string_view::npos;
  };
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    const char32_t first = NextCodePoint(text, end);
    if (separates(first)) {
      out.append(text, i, end - i);
      i = end;
      continue;
    }
    const size_t word = end;
    while (end < text.size()) {
      size_t next = end;
      if (separates(NextCodePoint(text, next))) break;
      end = next;
    }
    out += ToUpper(text.substr(i, word - i));
    out += ToLower(text.substr(word, end - word));
    i = end;
  }
  return out;
}

Result<Value> String(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("string", arguments, {}));
  return SoftText(renderer.heap(), subject);
}

Result<Value> Safe(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("safe", arguments, {}));
  ASSIGN_OR_RETURN(std::string text, ToText(renderer.heap(), subject));
  return renderer.heap().String(std::move(text), true);
}

Result<Value> EscapeFilter(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("escape", arguments, {}));
  return Escape(renderer.heap(), subject);
}

Result<Value> ForceEscape(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("forceescape", arguments, {}));
  ASSIGN_OR_RETURN(std::string text, ToText(renderer.heap(), subject));
  ASSIGN_OR_RETURN(const Value plain, renderer.heap().String(std::move(text)));
  return Escape(renderer.heap(), plain);
}

Result<Value> Trim(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, Bind("trim", arguments, {"chars"}));
  ASSIGN_OR_RETURN(const Value text, SoftText(renderer.heap(), subject));
  std::optional<std::string_view> chars;
  if (!given[0].missing() && !given[0].none()) {
    if (!given[0].is(Type::kString)) return Fail("strip arg must be None or str");
    chars = given[0].text();
    RETURN_IF_ERROR(renderer.heap().SpendScan(chars->size() * 8));
  }
  RETURN_IF_ERROR(renderer.heap().SpendScan(text.text().size()));
  return renderer.heap().String(std::string(StripText(text.text(), chars, Side::kBoth)),
                                IsMarkup(text));
}

Result<Value> ReplaceFilter(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  Heap& heap = renderer.heap();
  ASSIGN_OR_RETURN(const auto given, Bind("replace", arguments, {"old", "new", "count"}, 2));
  ASSIGN_OR_RETURN(const std::string text, ToText(heap, subject));
  ASSIGN_OR_RETURN(const std::string from, ToText(heap, given[0]));
  ASSIGN_OR_RETURN(const std::string to, ToText(heap, given[1]));
  Int limit = -1;
  if (!given[2].none()) {
    ASSIGN_OR_RETURN(limit, IntArgument("replace", given[2], -1));
  }
  ASSIGN_OR_RETURN(std::string replaced, ReplaceText(heap, text, from, to, limit));
  return heap.String(std::move(replaced));
}

Result<Value> Indent(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  Heap& heap = renderer.heap();
  ASSIGN_OR_RETURN(const auto given, Bind("indent", arguments, {"width", "first", "blank"}));
  if (subject.undefined()) return UndefinedError(subject);
  if (!subject.is(Type::kString)) {
    return Fail("indent: expected a string, not " + std::string(TypeName(subject)));
  }
  std::string indention;
  if (given[0].is(Type::kString)) {
    indention = given[0].text();
  } else {
    ASSIGN_OR_RETURN(const Int width, IntArgument("indent", given[0], 4));
    ASSIGN_OR_RETURN(indention, Pad(heap, "", width, " ", '<'));
  }
  const bool first = Truthy(given[1]);
  const bool blank = Truthy(given[2]);
  RETURN_IF_ERROR(heap.SpendScan(subject.text().size() + 1));
  const std::string text = subject.text() + "\n";
  const auto lines = SplitLines(text, false);
  std::string out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) RETURN_IF_ERROR(AppendBounded(heap, "\n", out));
    const bool indents = i == 0 ? first : blank || !lines[i].empty();
    if (indents) RETURN_IF_ERROR(AppendBounded(heap, indention, out));
    RETURN_IF_ERROR(AppendBounded(heap, lines[i], out));
  }
  return heap.String(std::move(out), IsMarkup(subject));
}

Result<Value> Center(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN(auto given, Bind("center", arguments, {"width"}));
  ASSIGN_OR_RETURN(const Value text, SoftText(renderer.heap(), subject));
  CallArguments width;
  width.positional.push_back(given[0].missing() ? Value::Integer(80) : given[0]);
  return FindStringMethod("center")->body(renderer, text, width);
}

Result<Value> Truncate(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  Heap& heap = renderer.heap();
  ASSIGN_OR_RETURN(const auto given,
                   Bind("truncate", arguments, {"length", "killwords", "end", "leeway"}));
  ASSIGN_OR_RETURN(const Int length, IntArgument("truncate", given[0], 255));
  ASSIGN_OR_RETURN(const std::string end, TextArgument("truncate", given[2], "..."));
  Int leeway = 5;
  if (!given[3].none()) {
    ASSIGN_OR_RETURN(leeway, IntArgument("truncate", given[3], 5));
  }
  const auto end_length = static_cast<Int>(CodePointCount(end));
  if (length < end_length) return Fail("truncate: the length is less than that of the end");
  if (leeway < 0) return Fail("truncate: expected leeway >= 0");
  ASSIGN_OR_RETURN(const Int have, Length(subject));
  if (have <= length || have - length <= leeway) return subject;
  if (!subject.is(Type::kString)) return Fail("truncate: expected a string");
  const std::string& text = subject.text();
  RETURN_IF_ERROR(heap.SpendText(text.size()));
  std::string_view kept =
      std::string_view(text).substr(0, ByteOffset(text, static_cast<size_t>(length - end_length)));
  if (!Truthy(given[1])) kept = kept.substr(0, kept.rfind(' '));
  return heap.String(std::string(kept) + end, IsMarkup(subject));
}

Result<Value> WordCount(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("wordcount", arguments, {}));
  ASSIGN_OR_RETURN(const std::string text, ToText(renderer.heap(), subject));
  Int words = 0;
  bool inside = false;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = NextCodePoint(text, i);
    const bool part = c == '_' || IsAlnum(c);
    if (part && !inside) ++words;
    inside = part;
  }
  return Value::Integer(words);
}

Result<Value> FormatFilter(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  Heap& heap = renderer.heap();
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    return Fail("can't handle positional and keyword arguments at the same time");
  }
  ASSIGN_OR_RETURN(const Value text, SoftText(heap, subject));
  if (arguments.named.empty()) {
    ASSIGN_OR_RETURN(const Value values, heap.Tuple(std::move(arguments.positional)));
    return FormatPercent(heap, text, values);
  }
  ASSIGN_OR_RETURN(Value values, heap.EmptyDict());
  for (auto& [name, value] : arguments.named) {
    ASSIGN_OR_RETURN(Value key, heap.String(name));
    RETURN_IF_ERROR(heap.SetItem(values, std::move(key), std::move(value)));
  }
  return FormatPercent(heap, text, values);
}

Result<Value> UrlEncode(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("urlencode", arguments, {}));
  Heap& heap = renderer.heap();
  const auto quote = [&heap](const Value& value, bool query) -> Result<std::string> {
    ASSIGN_OR_RETURN(const std::string text, ToText(heap, value));
    std::string out;
    for (const char c : text) {
      const bool plain =
          (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
          std::string_view("_.-~").find(c) != std::string_view::npos || (c == '/' && !query);
      if (plain) {
        out += c;
      } else if (c == ' ' && query) {
        out += '+';
      } else {
        out += '%';
        out += "0123456789ABCDEF"[static_cast<unsigned char>(c) >> 4];
        out += "0123456789ABCDEF"[static_cast<unsigned char>(c) & 0xF];
      }
    }
    return out;
  };
  if (subject.is(Type::kString) || !Iterable(subject)) {
    ASSIGN_OR_RETURN(std::string text, quote(subject, false));
    return heap.String(std::move(text));
  }
  ASSIGN_OR_RETURN(const Value pairs,
                   subject.is(Type::kDict)
                       ? heap.Make<DictViewObject>(subject, DictViewObject::Kind::kItems)
                       : Result<Value>(subject));
  ASSIGN_OR_RETURN(const std::vector<Value> items, ToVector(heap, pairs));
  std::string out;
  for (const Value& item : items) {
    ASSIGN_OR_RETURN(const std::vector<Value> pair, ToVector(heap, item));
    if (pair.size() != 2) return Fail("urlencode: expected pairs");
    ASSIGN_OR_RETURN(const std::string key, quote(pair[0], true));
    ASSIGN_OR_RETURN(const std::string value, quote(pair[1], true));
    RETURN_IF_ERROR(AppendBounded(heap, (out.empty() ? "" : "&") + key + "=" + value, out));
  }
  return heap.String(std::move(out));
}

Result<Value> ToJsonFilter(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, Bind("tojson", arguments,
                                          {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ensure_ascii = Truthy(given[0]);
  style.sort_keys = Truthy(given[3]);
  if (given[1].is(Type::kString)) {
    style.indent = given[1].text();
  } else if (!given[1].missing() && !given[1].none()) {
    ASSIGN_OR_RETURN(const Int width, IntArgument("tojson", given[1], 0));
    ASSIGN_OR_RETURN(style.indent, Pad(renderer.heap(), "", width, " ", '<'));
  }
  constexpr size_t kMaxIndentBytes = 256;  // it is repeated for each level of nesting
  if (style.indent && style.indent->size() > kMaxIndentBytes) {
    return Fail("tojson: an indent of more than " + std::to_string(kMaxIndentBytes) + " bytes");
  }
  if (style.indent) style.item_separator = ",";
  if (!given[2].missing() && !given[2].none()) {
    ASSIGN_OR_RETURN(const std::vector<Value> pair, ToVector(renderer.heap(), given[2]));
    if (pair.size() != 2) return Fail("tojson: separators are a pair");
    ASSIGN_OR_RETURN(style.item_separator, TextArgument("tojson", pair[0], ""));
    ASSIGN_OR_RETURN(style.key_separator, TextArgument("tojson", pair[1], ""));
  }
  ASSIGN_OR_RETURN(std::string text, ToJson(renderer.heap(), subject, style));
  return renderer.heap().String(std::move(text));
}

Result<Value> FromJsonFilter(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("from_json", arguments, {}));
  ASSIGN_OR_RETURN(const std::string text, TextArgument("from_json", subject, ""));
  RETURN_IF_ERROR(renderer.heap().SpendScan(text.size()));
  return FromJson(renderer.heap(), std::string_view(text));
}

Result<Value> Default(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN(auto given, Bind("default", arguments, {"default_value", "boolean"}));
  const bool replaces = subject.undefined() || (Truthy(given[1]) && !Truthy(subject));
  if (!replaces) return subject;
  if (given[0].missing()) return renderer.heap().String("");
  return given[0];
}

Result<Value> IntFilter(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, Bind("int", arguments, {"default", "base"}));
  const Value fallback = given[0].missing() ? Value::Integer(0) : given[0];
  ASSIGN_OR_RETURN(const Int base, IntArgument("int", given[1], 10));
  if (subject.undefined()) return UndefinedError(subject);
  if (subject.integral()) return Value::Integer(subject.integer());
  if (subject.is(Type::kFloat)) {
    if (std::isnan(subject.number())) return fallback;
    if (std::isinf(subject.number())) return Fail("cannot convert float infinity to integer");
    return FloatToInt(subject.number());
  }
  if (!subject.is(Type::kString)) return fallback;
  RETURN_IF_ERROR(renderer.heap().SpendScan(subject.text().size()));
  ASSIGN_OR_RETURN(const auto whole, ParseInt(subject.text(), base));
  if (whole) return Value::Integer(*whole);
  const auto number = ParseFloat(subject.text());
  if (!number || !std::isfinite(*number)) return fallback;
  return FloatToInt(*number);
}

Result<Value> FloatFilter(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, Bind("float", arguments, {"default"}));
  if (subject.undefined()) return UndefinedError(subject);
  if (subject.numeric()) return Value::Float(subject.number());
  if (subject.is(Type::kString)) {
    RETURN_IF_ERROR(renderer.heap().SpendScan(subject.text().size()));
    if (const auto number = ParseFloat(subject.text())) return Value::Float(*number);
  }
  return given[0].missing() ? Value::Float(0) : given[0];
}

Result<Value> Abs(Renderer&, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("abs", arguments, {}));
  if (subject.undefined()) return UndefinedError(subject);
  if (subject.is(Type::kFloat)) return Value::Float(std::abs(subject.number()));
  if (!subject.integral()) {
    return Fail("bad operand type for abs(): '" + std::string(TypeName(subject)) + "'");
  }
  return subject.integer() < 0 ? Negate(subject) : Plus(subject);
}

Result<Value> Round(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, Bind("round", arguments, {"precision", "method"}));
  ASSIGN_OR_RETURN(const Int precision, IntArgument("round", given[0], 0));
  ASSIGN_OR_RETURN(const std::string method, TextArgument("round", given[1], "common"));
  if (subject.undefined()) return UndefinedError(subject);
  if (method != "common" && method != "ceil" && method != "floor") {
    return Fail("method must be common, ceil or floor");
  }
  if (!subject.numeric()) {
    return Fail("type " + std::string(TypeName(subject)) + " doesn't define __round__ method");
  }
  if (method == "common") return RoundNumber(subject, precision);
  ASSIGN_OR_RETURN(const Value scale, Binary(renderer.heap(), BinaryOp::kPower, Value::Integer(10),
                                             Value::Integer(precision)));
  ASSIGN_OR_RETURN(const Value scaled,
                   Binary(renderer.heap(), BinaryOp::kMultiply, subject, scale));
  Value whole = scaled;
  if (scaled.is(Type::kFloat)) {
    if (!std::isfinite(scaled.number())) return Fail("cannot convert this float to integer");
    ASSIGN_OR_RETURN(whole, FloatToInt(method == "ceil" ? std::ceil(scaled.number())
                                                        : std::floor(scaled.number())));
  }
  return Binary(renderer.heap(), BinaryOp::kDivide, whole, scale);
}

Result<Value> FileSizeFormat(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, Bind("filesizeformat", arguments, {"binary"}));
  const bool binary = Truthy(given[0]);
  double bytes = 0;
  if (subject.numeric()) {
    bytes = subject.number();
  } else if (subject.is(Type::kString) && ParseFloat(subject.text())) {
    bytes = *ParseFloat(subject.text());
  } else {
    return Fail("filesizeformat: expected a number");
  }
  const double base = binary ? 1024 : 1000;
  if (bytes == 1) return renderer.heap().String("1 Byte");
  if (!std::isfinite(bytes)) return Fail("filesizeformat: expected a finite number");
  if (bytes < base) {
    return renderer.heap().String(IntText(static_cast<Int>(std::max(bytes, -0x1p126))) + " Bytes");
  }
  double unit = base;
  size_t prefix = 0;
  static constexpr std::string_view kPrefixes = "kMGTPEZY";
  for (; prefix < kPrefixes.size(); ++prefix) {
    unit *= base;
    if (bytes < unit || prefix + 1 == kPrefixes.size()) break;
  }
  FormatSpec spec;
  spec.precision = 1;
  spec.type = 'f';
  ASSIGN_OR_RETURN(std::string text, FormatFloat(renderer.heap(), base * bytes / unit, spec));
  text += ' ';
  text += binary && prefix == 0 ? 'K' : kPrefixes[prefix];
  return renderer.heap().String(text + (binary ? "iB" : "B"));
}

Result<Value> Attr(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, Bind("attr", arguments, {"name"}, 1));
  ASSIGN_OR_RETURN(const std::string name, TextArgument("attr", given[0], ""));
  // Items of a dict are not attributes of it.
  if (subject.is(Type::kDict) && FindMethod(subject, name) == nullptr) {
    return renderer.heap().Undefined("'dict object' has no attribute '" + name + "'");
  }
  return renderer.GetAttribute(subject, name);
}

constexpr NamedFilter kTextFilters[] = {
    {"tojson", ToJsonFilter},
    {"from_json", FromJsonFilter},
    {"string", String},
    {"trim", Trim},
    {"default", Default},
    {"d", Default},
    {"safe", Safe},
    {"lower", ConvertedFilter<ToLower>},
    {"upper", ConvertedFilter<ToUpper>},
    {"replace", ReplaceFilter},
    {"indent", Indent},
    {"int", IntFilter},
    {"float", FloatFilter},
    {"capitalize", ConvertedFilter<Capitalize>},
    {"title", ConvertedFilter<TitleFilter>},
    {"escape", EscapeFilter},
    {"e", EscapeFilter},
    {"forceescape", ForceEscape},
    {"format", FormatFilter},
    {"abs", Abs},
    {"round", Round},
    {"center", Center},
    {"truncate", Truncate},
    {"wordcount", WordCount},
    {"urlencode", UrlEncode},
    {"filesizeformat", FileSizeFormat},
    {"attr", Attr},
};

}  // namespace

FilterBody FindTextFilter(std::string_view name) {
  const auto* at = std::find_if(std::begin(kTextFilters), std::end(kTextFilters),
                                [name](const NamedFilter& f) { return f.name == name; });
  return at == std::end(kTextFilters) ? nullptr : at->body;
}

FilterBody FindFilter(std::string_view name) {
  const FilterBody body = FindTextFilter(name);
  return body != nullptr ? body : FindSequenceFilter(name);
}

}  // namespace shoal::jinja
