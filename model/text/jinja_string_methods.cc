// The methods of Python's str: part of jinja_methods.h. What a method makes of Markup is Markup.
#include <algorithm>
#include <utility>

#include "model/text/jinja_arguments.h"
#include "model/text/jinja_eval.h"
#include "model/text/jinja_format.h"
#include "model/text/jinja_format_spec.h"
#include "model/text/jinja_methods.h"
#include "model/text/jinja_ops.h"
#include "model/text/jinja_text.h"
#include "model/text/jinja_unicode.h"

namespace shoal::jinja {
namespace {

// A method without arguments that makes a string of a string.
template <std::string (*convert)(std::string_view)>
Result<Value> Converted(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, BindPositional("str", arguments, 0, 0));
  RETURN_IF_ERROR(renderer.heap().SpendScan(self.text().size()));
  return renderer.heap().String(convert(self.text()), IsMarkup(self));
}

// One that says whether the string is of a kind.
template <bool (*holds)(std::string_view)>
Result<Value> Tested(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, BindPositional("str", arguments, 0, 0));
  RETURN_IF_ERROR(renderer.heap().SpendScan(self.text().size()));
  return Value::Bool(holds(self.text()));
}

template <bool (*holds)(char32_t)>
bool All(std::string_view text) {
  return AllCodePoints(text, holds);
}

template <CharClass kind>
bool AllOf(std::string_view text) {
  return AllCodePoints(text, [](char32_t c) { return Is(kind, c); });
}

bool Printable(std::string_view text) { return text.empty() || AllOf<CharClass::kPrintable>(text); }

bool Ascii(std::string_view text) { return CodePointCount(text) == text.size(); }

bool Identifier(std::string_view text) {
  const auto part = [](char32_t c) { return c == '_' || IsAlnum(c); };
  size_t first = 0;
  if (text.empty() || Is(CharClass::kNumeric, NextCodePoint(text, first))) return false;
  return AllCodePoints(text, part);
}

template <Side side>
Result<Value> Strip(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, BindPositional("strip", arguments, 0, 1));
  std::optional<std::string_view> chars;
  if (!given[0].missing() && !given[0].none()) {
    if (!given[0].is(Type::kString)) return Fail("strip arg must be None or str");
    chars = given[0].text();
    RETURN_IF_ERROR(renderer.heap().SpendScan(chars->size() * 8));
  }
  RETURN_IF_ERROR(renderer.heap().SpendScan(self.text().size()));
  return renderer.heap().String(std::string(StripText(self.text(), chars, side)), IsMarkup(self));
}

template <bool from_right>
Result<Value> Split(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, Bind("split", arguments, {"sep", "maxsplit"}));
  ASSIGN_OR_RETURN(const Int limit, IntArgument("split", given[1], -1));
  std::optional<std::string_view> separator;
  if (!given[0].missing() && !given[0].none()) {
    if (!given[0].is(Type::kString)) {
      return Fail("must be str or None, not " + std::string(TypeName(given[0])));
    }
    separator = given[0].text();
    if (separator->empty()) return Fail("empty separator");
  }
  RETURN_IF_ERROR(renderer.heap().SpendScan(self.text().size()));
  const auto parts = from_right ? SplitTextFromRight(self.text(), separator, limit)
                                : SplitText(self.text(), separator, limit);
  return ListOfTexts(renderer.heap(), parts, IsMarkup(self));
}

Result<Value> Lines(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, Bind("splitlines", arguments, {"keepends"}));
  RETURN_IF_ERROR(renderer.heap().SpendScan(self.text().size()));
  return ListOfTexts(renderer.heap(), SplitLines(self.text(), Truthy(given[0])), IsMarkup(self));
}

template <bool from_right>
Result<Value> Partition(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, BindPositional("partition", arguments, 1, 1));
  ASSIGN_OR_RETURN(const std::string separator, TextArgument("partition", given[0], ""));
  if (separator.empty()) return Fail("empty separator");
  const std::string_view text = self.text();
  RETURN_IF_ERROR(renderer.heap().SpendScan(text.size()));
  const size_t at = from_right ? FindLast(text, separator) : FindFirst(text, separator);
  std::string_view parts[3] = {text, "", ""};
  if (at != std::string_view::npos) {
    parts[0] = text.substr(0, at);
    parts[1] = separator;
    parts[2] = text.substr(at + separator.size());
  } else if (from_right) {
    std::swap(parts[0], parts[2]);
  }
  std::vector<Value> items;
  for (const std::string_view part : parts) {
    ASSIGN_OR_RETURN(Value item, renderer.heap().String(std::string(part), IsMarkup(self)));
    items.push_back(std::move(item));
  }
  return renderer.heap().Tuple(std::move(items));
}

// The part of a text that optional start and end arguments select.
struct Window {
  std::string_view text;
  Int start = 0;       // code points before it
  bool empty = false;  // start lies behind end, where not even the empty text is found
};

Result<Window> SelectWindow(Heap& heap, const Value& self, const Value& start, const Value& end) {
  const auto& object = self.as<StringObject>();
  RETURN_IF_ERROR(heap.SpendScan(object.text.size()));
  const auto length = static_cast<Int>(object.CodePoints());
  const auto bound = [length](const Value& value, Int absent) -> Result<Int> {
    if (value.missing() || value.none()) return absent;
    ASSIGN_OR_RETURN(const Int given, IntArgument("slice", value, absent));
    return given < 0 ? std::max<Int>(given < -length ? 0 : given + length, 0) : given;
  };
  ASSIGN_OR_RETURN(const Int from, bound(start, 0));
  ASSIGN_OR_RETURN(Int to, bound(end, length));
  to = std::min(to, length);
  Window window;
  window.start = from;
  window.empty = from > to;
  if (window.empty) return window;
  const std::string_view rest =
      std::string_view(object.text).substr(ByteOffset(object.text, static_cast<size_t>(from)));
  window.text = rest.substr(0, ByteOffset(rest, static_cast<size_t>(to - from)));
  return window;
}

template <bool last, bool must_find>
Result<Value> Find(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, BindPositional("find", arguments, 1, 3));
  ASSIGN_OR_RETURN(const std::string wanted, TextArgument("find", given[0], ""));
  ASSIGN_OR_RETURN(const Window window, SelectWindow(renderer.heap(), self, given[1], given[2]));
  size_t at = std::string_view::npos;
  if (!window.empty) at = last ? FindLast(window.text, wanted) : FindFirst(window.text, wanted);
  if (at != std::string_view::npos) {
    return Value::Integer(window.start +
                          static_cast<Int>(CodePointCount(window.text.substr(0, at))));
  }
  if (must_find) return Fail("substring not found");
  return Value::Integer(-1);
}

Result<Value> Count(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, BindPositional("count", arguments, 1, 3));
  ASSIGN_OR_RETURN(const std::string wanted, TextArgument("count", given[0], ""));
  ASSIGN_OR_RETURN(const Window window, SelectWindow(renderer.heap(), self, given[1], given[2]));
  if (window.empty) return Value::Integer(0);
  return Value::Integer(static_cast<Int>(CountText(window.text, wanted)));
}

template <bool at_end>
Result<Value> StartsWith(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, BindPositional("startswith", arguments, 1, 3));
  ASSIGN_OR_RETURN(const Window window, SelectWindow(renderer.heap(), self, given[1], given[2]));
  std::vector<Value> candidates = {given[0]};
  if (given[0].is(Type::kTuple)) candidates = given[0].items();
  for (const Value& candidate : candidates) {
    if (candidate.undefined()) return UndefinedError(candidate);
    if (!candidate.is(Type::kString)) {
      return Fail("startswith first arg must be str or a tuple of str, not " +
                  std::string(TypeName(candidate)));
    }
    if (!renderer.heap().Spend(1)) return renderer.heap().Exhausted();
    const bool matches = at_end ? window.text.ends_with(candidate.text())
                                : window.text.starts_with(candidate.text());
    if (matches && !window.empty) return Value::Bool(true);
  }
  return Value::Bool(false);
}

Result<Value> Replace(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN(auto given, BindPositional("replace", arguments, 2, 3));
  for (Value* text : {&given[0], &given[1]}) {
    if (!text->is(Type::kString)) {
      return Fail("replace() argument must be str, not " + std::string(TypeName(*text)));
    }
    if (!IsMarkup(self)) continue;
    ASSIGN_OR_RETURN(*text, Escape(renderer.heap(), *text));
  }
  ASSIGN_OR_RETURN(const Int limit, IntArgument("replace", given[2], -1));
  ASSIGN_OR_RETURN(std::string text, ReplaceText(renderer.heap(), self.text(), given[0].text(),
                                                 given[1].text(), limit));
  return renderer.heap().String(std::move(text), IsMarkup(self));
}

Result<Value> Join(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, BindPositional("join", arguments, 1, 1));
  if (!Iterable(given[0])) return Fail("can only join an iterable");
  Heap& heap = renderer.heap();
  ASSIGN_OR_RETURN(const std::vector<Value> items, ToVector(heap, given[0]));
  std::string text;
  for (size_t i = 0; i < items.size(); ++i) {
    Value item = items[i];
    if (!item.is(Type::kString)) {
      return Fail("sequence item " + std::to_string(i) + ": expected str instance, " +
                  std::string(TypeName(item)) + " found");
    }
    if (IsMarkup(self)) {
      ASSIGN_OR_RETURN(item, Escape(heap, item));
    }
    if (i > 0) RETURN_IF_ERROR(AppendBounded(heap, self.text(), text));
    RETURN_IF_ERROR(AppendBounded(heap, item.text(), text));
  }
  return heap.String(std::move(text), IsMarkup(self));
}

template <char align>
Result<Value> Justify(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, BindPositional("just", arguments, 1, 2));
  ASSIGN_OR_RETURN(const Int width, IntArgument("just", given[0], 0));
  ASSIGN_OR_RETURN(const std::string fill, TextArgument("just", given[1], " "));
  if (CodePointCount(fill) != 1)
    return Fail("The fill character must be exactly one character long");
  const auto length = static_cast<Int>(self.as<StringObject>().CodePoints());
  // str.center puts the odd one on the left where both the gap and the width are odd.
  const bool left_heavy =
      align == '^' && width > length && (width - length) % 2 == 1 && width % 2 == 1;
  ASSIGN_OR_RETURN(std::string text,
                   Pad(renderer.heap(), self.text(), left_heavy ? width - 1 : width, fill, align));
  if (left_heavy) text.insert(0, fill);
  return renderer.heap().String(std::move(text), IsMarkup(self));
}

Result<Value> ZeroFill(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, BindPositional("zfill", arguments, 1, 1));
  ASSIGN_OR_RETURN(const Int width, IntArgument("zfill", given[0], 0));
  const std::string_view text = self.text();
  const bool sign = text.starts_with('+') || text.starts_with('-');
  ASSIGN_OR_RETURN(std::string padded, Pad(renderer.heap(), text.substr(sign ? 1 : 0),
                                           sign ? width - 1 : width, "0", '>'));
  if (sign) padded.insert(0, 1, text[0]);
  return renderer.heap().String(std::move(padded), IsMarkup(self));
}

Result<Value> ExpandTabs(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, Bind("expandtabs", arguments, {"tabsize"}));
  ASSIGN_OR_RETURN(const Int tab, IntArgument("expandtabs", given[0], 8));
  std::string out;
  Int column = 0;
  const std::string_view text = self.text();
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const char32_t c = NextCodePoint(text, i);
    if (c != '\t') {
      RETURN_IF_ERROR(AppendBounded(renderer.heap(), text.substr(begin, i - begin), out));
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    } else if (tab > 0) {
      const Int spaces = tab - column % tab;
      ASSIGN_OR_RETURN(const std::string gap, Pad(renderer.heap(), "", spaces, " ", '<'));
      RETURN_IF_ERROR(AppendBounded(renderer.heap(), gap, out));
      column += spaces;
    }
  }
  return renderer.heap().String(std::move(out), IsMarkup(self));
}

template <bool at_end>
Result<Value> Remove(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, BindPositional("remove", arguments, 1, 1));
  ASSIGN_OR_RETURN(const std::string part, TextArgument("remove", given[0], ""));
  std::string_view text = self.text();
  if (at_end && text.ends_with(part)) {
    text.remove_suffix(part.size());
  } else if (!at_end && text.starts_with(part)) {
    text.remove_prefix(part.size());
  }
  return renderer.heap().String(std::string(text), IsMarkup(self));
}

Result<Value> Format(Renderer& renderer, const Value& self, CallArguments& arguments) {
  return FormatBraces(renderer, self, arguments);
}

Result<Value> FormatMap(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, BindPositional("format_map", arguments, 1, 1));
  if (!given[0].is(Type::kDict)) return Fail("format_map() takes a mapping");
  CallArguments named;
  for (const auto& [key, value] : given[0].as<DictObject>().entries) {
    if (key.is(Type::kString)) named.named.emplace_back(key.text(), value);
  }
  return FormatBraces(renderer, self, named);
}

Result<Value> NotOffered(Renderer&, const Value&, CallArguments&) {
  return Fail("this method of str is not supported");
}

constexpr Function kStringMethods[] = {
    {"strip", Strip<Side::kBoth>},
    {"lstrip", Strip<Side::kLeft>},
    {"rstrip", Strip<Side::kRight>},
    {"split", Split<false>},
    {"rsplit", Split<true>},
    {"splitlines", Lines},
    {"partition", Partition<false>},
    {"rpartition", Partition<true>},
    {"startswith", StartsWith<false>},
    {"endswith", StartsWith<true>},
    {"replace", Replace},
    {"join", Join},
    {"format", Format},
    {"format_map", FormatMap},
    {"find", Find<false, false>},
    {"rfind", Find<true, false>},
    {"index", Find<false, true>},
    {"rindex", Find<true, true>},
    {"count", Count},
    {"lower", Converted<ToLower>},
    {"upper", Converted<ToUpper>},
    {"title", Converted<ToTitle>},
    {"capitalize", Converted<Capitalize>},
    {"swapcase", Converted<SwapCase>},
    {"casefold", Converted<CaseFold>},
    {"ljust", Justify<'<'>},
    {"rjust", Justify<'>'>},
    {"center", Justify<'^'>},
    {"zfill", ZeroFill},
    {"expandtabs", ExpandTabs},
    {"removeprefix", Remove<false>},
    {"removesuffix", Remove<true>},
    {"isalpha", Tested<AllOf<CharClass::kAlpha>>},
    {"isalnum", Tested<All<IsAlnum>>},
    {"isdecimal", Tested<AllOf<CharClass::kDecimal>>},
    {"isdigit", Tested<AllOf<CharClass::kDigit>>},
    {"isnumeric", Tested<AllOf<CharClass::kNumeric>>},
    {"isspace", Tested<All<IsSpace>>},
    {"isprintable", Tested<Printable>},
    {"isascii", Tested<Ascii>},
    {"isidentifier", Tested<Identifier>},
    {"islower", Tested<IsLowerText>},
    {"isupper", Tested<IsUpperText>},
    {"istitle", Tested<IsTitleText>},
    {"encode", NotOffered},
    {"translate", NotOffered},
    {"maketrans", NotOffered},
};

}  // namespace

const Function* FindStringMethod(std::string_view name) {
  const auto* at = std::find_if(std::begin(kStringMethods), std::end(kStringMethods),
                                [name](const Function& f) { return f.name == name; });
  return at == std::end(kStringMethods) ? nullptr : at;
}

}  // namespace shoal::jinja
