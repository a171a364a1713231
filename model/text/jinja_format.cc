#include "model/text/jinja_format.h"

#include <charconv>
#include <cmath>

#include "model/text/jinja_eval.h"
#include "model/text/jinja_format_spec.h"
#include "model/text/jinja_ops.h"
#include "model/text/jinja_repr.h"
#include "model/text/jinja_text.h"
#include "model/text/jinja_unicode.h"

namespace shoal::jinja {
namespace {

Result<std::string> TextOrEscaped(Heap& heap, const Value& value, bool escape) {
  if (!escape) return ToText(heap, value);
  ASSIGN_OR_RETURN(const Value escaped, Escape(heap, value));
  return escaped.text();
}

class PercentFormatter {
 public:
  PercentFormatter(Heap& heap, const Value& format, const Value& values)
      : heap_(heap),
        format_(format.text()),
        markup_(format.as<StringObject>().markup),
        values_(values) {}

  Result<Value> Run() {
    while (at_ < format_.size()) {
      const size_t percent = std::min(format_.find('%', at_), format_.size());
      RETURN_IF_ERROR(AppendBounded(heap_, format_.substr(at_, percent - at_), out_));
      at_ = percent;
      if (at_ < format_.size()) RETURN_IF_ERROR(Directive());
    }
    // Anything with a subscript counts as a mapping here, whose items need not be used.
    const bool mapping = values_.is(Type::kDict) || values_.is(Type::kList) ||
                         values_.is(Type::kRange) || values_.undefined();
    const size_t count = values_.is(Type::kTuple) ? values_.items().size() : 1;
    if (!mapping && used_ < count) {
      return Fail("not all arguments converted during string formatting");
    }
    return heap_.String(std::move(out_), markup_);
  }

 private:
  Result<Value> NextValue() {
    if (values_.is(Type::kTuple)) {
      if (used_ >= values_.items().size()) return Fail("not enough arguments for format string");
      return values_.items()[used_++];
    }
    if (used_++ > 0) return Fail("not enough arguments for format string");
    return values_;
  }

  // A number in the format, or `*` for the next value.
  Result<Int> NumberOrStar() {
    if (at_ < format_.size() && format_[at_] == '*') {
      ++at_;
      ASSIGN_OR_RETURN(const Value value, NextValue());
      if (!value.integral()) return Fail("* wants int");
      return value.integer();
    }
    int64_t number = 0;
    const auto parsed =
        std::from_chars(format_.data() + at_, format_.data() + format_.size(), number);
    if (parsed.ec == std::errc::result_out_of_range) return Fail("width too big");
    if (parsed.ec == std::errc()) at_ = static_cast<size_t>(parsed.ptr - format_.data());
    return Int{number};
  }

  Status Directive() {
    ++at_;
    std::optional<Value> named;
    if (at_ < format_.size() && format_[at_] == '(') {
      ASSIGN_OR_RETURN(named, NamedValue());
    }
    FormatSpec spec;
    bool left = false;
    bool zero = false;
    for (; at_ < format_.size(); ++at_) {
      const char flag = format_[at_];
      if (flag == '-') {
        left = true;
      } else if (flag == '0') {
        zero = true;
      } else if (flag == '+' || (flag == ' ' && spec.sign != '+')) {
        spec.sign = flag;
      } else if (flag == '#') {
        spec.alternate = true;
      } else if (flag != ' ') {
        break;
      }
    }
    ASSIGN_OR_RETURN(spec.width, NumberOrStar());
    if (spec.width < 0) {
      left = true;
      spec.width = -spec.width;
    }
    if (at_ < format_.size() && format_[at_] == '.') {
      ++at_;
      ASSIGN_OR_RETURN(spec.precision, NumberOrStar());
      spec.precision = std::max<Int>(spec.precision, 0);
    }
    if (at_ < format_.size() &&
        std::string_view("hlL").find(format_[at_]) != std::string_view::npos) {
      ++at_;
    }
    if (at_ >= format_.size()) return Fail("incomplete format");
    spec.type = format_[at_++];
    if (spec.type == '%') return AppendBounded(heap_, "%", out_);
    if (!named) {
      ASSIGN_OR_RETURN(named, NextValue());
    }
    spec.align = left ? '<' : '>';
    if (zero && !left) spec.align = '=', spec.fill = "0";
    ASSIGN_OR_RETURN(const std::string text, Convert(*named, spec));
    return AppendBounded(heap_, text, out_);
  }

  Result<std::optional<Value>> NamedValue() {
    const size_t close = format_.find(')', at_);
    if (close == std::string_view::npos) return Fail("incomplete format key");
    if (!values_.is(Type::kDict)) return Fail("format requires a mapping");
    const std::string_view key = format_.substr(at_ + 1, close - at_ - 1);
    const Value* found = values_.as<DictObject>().Find(key);
    if (found == nullptr) return Fail("KeyError: '" + std::string(key) + "'");
    at_ = close + 1;
    return std::optional<Value>(*found);
  }

  Result<std::string> Convert(const Value& value, FormatSpec spec) {
    switch (spec.type) {
      case 's':
      case 'r': {
        ASSIGN_OR_RETURN(std::string text, spec.type == 's' ? TextOrEscaped(heap_, value, markup_)
                                                            : Repr(heap_, value));
        return Plain(std::move(text), spec);
      }
      case 'c': {
        if (value.is(Type::kString) && value.as<StringObject>().CodePoints() == 1) {
          return Plain(value.text(), spec);
        }
        if (!value.integral()) return Fail("%c requires int or char");
        spec.precision = -1;
        return FormatInt(heap_, value.integer(), spec);
      }
      case 'd':
      case 'i':
      case 'u': {
        spec.type = 'd';
        ASSIGN_OR_RETURN(const Int integer, Whole(value));
        return Integer(integer, spec);
      }
      case 'x':
      case 'X':
      case 'o':
        if (!value.integral()) {
          return Fail(std::string("%") + spec.type + " format: an integer is required, not " +
                      std::string(TypeName(value)));
        }
        return Integer(value.integer(), spec);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        if (value.undefined()) return UndefinedError(value);
        if (!value.numeric()) {
          return Fail("must be real number, not " + std::string(TypeName(value)));
        }
        return FormatFloat(heap_, value.number(), spec);
      default: return Fail(std::string("unsupported format character '") + spec.type + "'");
    }
  }

  // Text, where zeros do not pad.
  Result<std::string> Plain(std::string text, FormatSpec spec) {
    spec.type = 's';
    spec.sign = '-';
    spec.alternate = false;
    spec.fill = " ";
    if (spec.align == '=') spec.align = '>';
    return FormatText(heap_, text, spec);
  }

  // An integer whose precision is its least number of digits.
  Result<std::string> Integer(Int value, FormatSpec spec) {
    const Int precision = std::exchange(spec.precision, -1);
    if (precision <= 0) return FormatInt(heap_, value, spec);
    if (precision > 1000) return Fail("precision too big");
    FormatSpec bare = spec;
    bare.width = 0;
    bare.align = '>';
    bare.alternate = false;
    bare.sign = '-';
    ASSIGN_OR_RETURN(std::string digits, FormatInt(heap_, value < 0 ? -value : value, bare));
    if (static_cast<Int>(digits.size()) < precision) {
      digits.insert(0, static_cast<size_t>(precision) - digits.size(), '0');
    }
    if (value < 0) {
      digits.insert(0, "-");
    } else if (spec.sign != '-') {
      digits.insert(0, 1, spec.sign);
    }
    return Pad(heap_, digits, spec.width, " ", spec.align == '<' ? '<' : '>');
  }

  Result<Int> Whole(const Value& value) {
    if (value.integral()) return value.integer();
    if (value.undefined()) return UndefinedError(value);
    if (!value.is(Type::kFloat)) {
      return Fail("%d format: a real number is required, not " + std::string(TypeName(value)));
    }
    if (!(std::abs(value.number()) < 0x1p126)) return Fail("cannot convert float to integer");
    return static_cast<Int>(value.number());
  }

  Heap& heap_;
  const std::string_view format_;
  const bool markup_;
  const Value& values_;
  size_t at_ = 0;
  size_t used_ = 0;
  std::string out_;
};

class BraceFormatter {
 public:
  BraceFormatter(Renderer& renderer, bool markup, const CallArguments& arguments)
      : renderer_(renderer), markup_(markup), arguments_(arguments) {}

  // `depth` more levels of fields within fields are allowed.
  Result<std::string> Run(std::string_view format, int depth) {
    if (depth < 0) return Fail("Max string recursion exceeded");
    std::string out;
    for (size_t at = 0; at < format.size();) {
      const char c = format[at];
      if (c != '{' && c != '}') {
        const size_t next = std::min(format.find_first_of("{}", at), format.size());
        RETURN_IF_ERROR(AppendBounded(renderer_.heap(), format.substr(at, next - at), out));
        at = next;
      } else if (at + 1 < format.size() && format[at + 1] == c) {
        out += c;
        at += 2;
      } else if (c == '}') {
        return Fail("Single '}' encountered in format string");
      } else {
        ASSIGN_OR_RETURN(const size_t end, FieldEnd(format, at));
        ASSIGN_OR_RETURN(const std::string text, Field(format.substr(at + 1, end - at - 1), depth));
        RETURN_IF_ERROR(AppendBounded(renderer_.heap(), text, out));
        at = end + 1;
      }
    }
    return out;
  }

 private:
  static Result<size_t> FieldEnd(std::string_view format, size_t begin) {
    int open = 0;
    for (size_t at = begin; at < format.size(); ++at) {
      if (format[at] == '{') ++open;
      if (format[at] == '}' && --open == 0) return at;
    }
    return Fail("expected '}' before end of string");
  }

  Result<std::string> Field(std::string_view field, int depth) {
    const size_t name_end = std::min(field.find_first_of("!:"), field.size());
    ASSIGN_OR_RETURN(Value value, Lookup(field.substr(0, name_end)));
    std::string_view rest = field.substr(name_end);
    Heap& heap = renderer_.heap();
    if (rest.starts_with('!')) {
      if (rest.size() < 2 || (rest.size() > 2 && rest[2] != ':')) {
        return Fail("expected ':' after conversion specifier");
      }
      if (rest[1] != 's' && rest[1] != 'r') return Fail("Unknown conversion specifier");
      ASSIGN_OR_RETURN(std::string text, rest[1] == 's' ? ToText(heap, value) : Repr(heap, value));
      ASSIGN_OR_RETURN(value, heap.String(std::move(text)));
      rest.remove_prefix(2);
    }
    std::string spec_text;
    if (rest.starts_with(':')) {
      ASSIGN_OR_RETURN(spec_text, Run(rest.substr(1), depth - 1));
    }
    return FormatOne(value, spec_text);
  }

  Result<std::string> FormatOne(const Value& value, const std::string& spec_text) {
    Heap& heap = renderer_.heap();
    if (spec_text.empty()) return TextOrEscaped(heap, value, markup_);
    ASSIGN_OR_RETURN(const FormatSpec spec, ParseFormatSpec(spec_text));
    if (value.is(Type::kString)) return FormatText(heap, value.text(), spec);
    if (value.integral()) return FormatInt(heap, value.integer(), spec);
    if (value.is(Type::kFloat)) return FormatFloat(heap, value.number(), spec);
    return Fail("unsupported format string passed to " + std::string(TypeName(value)) +
                ".__format__");
  }

  Result<Value> First(std::string_view name) {
    size_t index = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), index);
    const bool number = !name.empty() && parsed.ptr == name.data() + name.size();
    if (name.empty() || number) {
      if (name.empty() ? numbered_ == Numbering::kManual : numbered_ == Numbering::kAutomatic) {
        return Fail("cannot switch between manual and automatic field numbering");
      }
      numbered_ = name.empty() ? Numbering::kAutomatic : Numbering::kManual;
      if (name.empty()) index = next_++;
      if (index >= arguments_.positional.size()) {
        return Fail("Replacement index " + std::to_string(index) +
                    " out of range for positional args tuple");
      }
      return arguments_.positional[index];
    }
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    return Fail("KeyError: '" + std::string(name) + "'");
  }

  // `name.attribute[key]...`
  Result<Value> Lookup(std::string_view path) {
    size_t at = std::min(path.find_first_of(".["), path.size());
    ASSIGN_OR_RETURN(Value value, First(path.substr(0, at)));
    while (at < path.size()) {
      if (path[at] == '.') {
        const size_t end = std::min(path.find_first_of(".[", at + 1), path.size());
        if (end == at + 1) return Fail("Empty attribute in format string");
        ASSIGN_OR_RETURN(value, renderer_.GetAttribute(value, path.substr(at + 1, end - at - 1)));
        at = end;
        continue;
      }
      const size_t end = path[at] == '[' ? path.find(']', at) : std::string_view::npos;
      if (end == std::string_view::npos) return Fail("Missing ']' in format string");
      const std::string_view key = path.substr(at + 1, end - at - 1);
      int64_t index = 0;
      const auto parsed = std::from_chars(key.data(), key.data() + key.size(), index);
      const bool number = !key.empty() && key[0] != '-' && parsed.ec == std::errc() &&
                          parsed.ptr == key.data() + key.size();
      Value key_value = Value::Integer(index);
      if (!number) {
        ASSIGN_OR_RETURN(key_value, renderer_.heap().String(std::string(key)));
      }
      ASSIGN_OR_RETURN(value, renderer_.GetItem(value, key_value));
      at = end + 1;
    }
    return value;
  }

  enum class Numbering { kNone, kManual, kAutomatic };
  Renderer& renderer_;
  const bool markup_;
  const CallArguments& arguments_;
  Numbering numbered_ = Numbering::kNone;
  size_t next_ = 0;
};

}  // namespace

Result<Value> FormatPercent(Heap& heap, const Value& format, const Value& values) {
  return PercentFormatter(heap, format, values).Run();
}

Result<Value> FormatBraces(Renderer& renderer, const Value& format,
                           const CallArguments& arguments) {
  const bool markup = format.as<StringObject>().markup;
  constexpr int kFieldNesting = 1;
  ASSIGN_OR_RETURN(std::string text,
                   BraceFormatter(renderer, markup, arguments).Run(format.text(), kFieldNesting));
  return renderer.heap().String(std::move(text), markup);
}

}  // namespace shoal::jinja
