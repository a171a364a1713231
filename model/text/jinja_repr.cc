#include "model/text/jinja_repr.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "model/text/chat_template.h"
#include "model/text/jinja_ast.h"
#include "model/text/jinja_ops.h"
#include "model/text/jinja_text.h"
#include "model/text/jinja_unicode.h"

namespace shoal::jinja {
namespace {

// Writes the repr of values one after the other into one text.
class ReprWriter {
 public:
  ReprWriter(Heap& heap, std::string& out) : heap_(heap), out_(out), spent_(out.size()) {}

  Status Append(const Value& value) {
    const Heap::Nesting nesting(heap_);
    if (!nesting.ok()) return Heap::TooDeep();
    RETURN_IF_ERROR(heap_.SpendText(out_.size() - spent_));
    spent_ = out_.size();
    if (out_.size() > TemplateLimits::kMaxOutputBytes) return heap_.SpendText(out_.size()).error();
    switch (value.type()) {
      case Type::kMissing:
      case Type::kUndefined: out_ += "Undefined"; return OkStatus();
      case Type::kNone: out_ += "None"; return OkStatus();
      case Type::kBool: out_ += value.boolean() ? "True" : "False"; return OkStatus();
      case Type::kInt: out_ += IntText(value.integer()); return OkStatus();
      case Type::kFloat: out_ += FloatText(value.number()); return OkStatus();
      case Type::kString: AppendString(value.as<StringObject>()); return OkStatus();
      case Type::kList: return AppendItems("[", value.items(), "]");
      case Type::kTuple:
        return AppendItems("(", value.items(), value.items().size() == 1 ? ",)" : ")");
      case Type::kDict: return AppendDict(value.as<DictObject>());
      case Type::kDictView: return AppendView(value);
      case Type::kNamespace:
        out_ += "<Namespace ";
        RETURN_IF_ERROR(Append(value.as<NamespaceObject>().attributes));
        out_ += ">";
        return OkStatus();
      default: AppendOpaque(value); return OkStatus();
    }
  }

 private:
  void AppendString(const StringObject& object) {
    if (object.markup) out_ += "Markup(";
    AppendQuoted(out_, object.text);
    if (object.markup) out_ += ")";
  }

  Status AppendItems(std::string_view open, const std::vector<Value>& items,
                     std::string_view close) {
    out_ += open;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += ", ";
      RETURN_IF_ERROR(Append(items[i]));
    }
    out_ += close;
    return OkStatus();
  }

  Status AppendDict(const DictObject& dict) {
    out_ += "{";
    bool first = true;
    for (const auto& [key, value] : dict.entries) {
      if (!first) out_ += ", ";
      first = false;
      RETURN_IF_ERROR(Append(key));
      out_ += ": ";
      RETURN_IF_ERROR(Append(value));
    }
    out_ += "}";
    return OkStatus();
  }

  Status AppendView(const Value& view) {
    out_ += TypeName(view);
    const auto& dict = view.as<DictViewObject>().dict.as<DictObject>();
    std::vector<Value> items;
    for (const auto& [key, value] : dict.entries) {
      if (view.as<DictViewObject>().kind == DictViewObject::Kind::kKeys) {
        items.push_back(key);
      } else if (view.as<DictViewObject>().kind == DictViewObject::Kind::kValues) {
        items.push_back(value);
      } else {
        ASSIGN_OR_RETURN(Value pair, heap_.Tuple({key, value}));
        items.push_back(std::move(pair));
      }
    }
    return AppendItems("([", items, "])");
  }

  void AppendOpaque(const Value& value) {
    if (value.is(Type::kRange)) {
      const auto& range = value.as<RangeObject>();
      out_ += "range(" + IntText(range.start) + ", " + IntText(range.stop);
      if (range.step != 1) out_ += ", " + IntText(range.step);
      out_ += ")";
    } else if (value.is(Type::kMacro)) {
      const std::string& name = value.as<MacroObject>().definition.name;
      out_ += "<Macro ";
      if (name.empty()) {
        out_ += "anonymous";
      } else {
        AppendQuoted(out_, name);
      }
      out_ += ">";
    } else if (value.is(Type::kLoop)) {
      const auto& loop = value.as<LoopObject>();
      const auto length = Length(loop.iterable);
      out_ += "<LoopContext " + IntText(loop.index0 + 1) + "/" +
              IntText(length.ok() ? length.value() : 0) + ">";
    } else {
      out_ += "<" + std::string(TypeName(value)) + " object>";  // Python adds the address
    }
  }

  Heap& heap_;
  std::string& out_;
  size_t spent_;  // bytes of out_ already counted
};

void AppendHex(std::string& out, uint32_t value, int digits) {
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
    out += "0123456789abcdef"[(value >> shift) & 0xF];
  }
}

}  // namespace

void AppendQuoted(std::string& out, std::string_view text) {
  const bool double_quotes =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = double_quotes ? '"' : '\'';
  out += quote;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const char32_t c = NextCodePoint(text, i);
    if (c == '\\' || c == static_cast<char32_t>(quote)) {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (Is(CharClass::kPrintable, c)) {
      out.append(text, begin, i - begin);
    } else if (c < 0x100) {
      out += "\\x";
      AppendHex(out, c, 2);
    } else if (c < 0x10000) {
      out += "\\u";
      AppendHex(out, c, 4);
    } else {
      out += "\\U";
      AppendHex(out, c, 8);
    }
  }
  out += quote;
}

std::string IntText(Int value) {
  std::array<char, 40> digits;
  size_t at = digits.size();
  const bool negative = value < 0;
  auto rest =
      negative ? -static_cast<unsigned __int128>(value) : static_cast<unsigned __int128>(value);
  do {
    digits[--at] = static_cast<char>('0' + static_cast<int>(rest % 10));
    rest /= 10;
  } while (rest != 0);
  if (negative) digits[--at] = '-';
  return std::string(digits.data() + at, digits.size() - at);
}

std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 40> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::scientific);
  const std::string_view shortest(buffer.data(), static_cast<size_t>(end.ptr - buffer.data()));
  const size_t e = shortest.find('e');
  const int exponent = std::atoi(std::string(shortest.substr(e + 1)).c_str());
  // Python changes to the exponent form outside of [1e-4, 1e16).
  if (exponent < -4 || exponent >= 16) {
    std::string out(shortest.substr(0, e));
    out += exponent < 0 ? "e-" : "e+";
    const std::string digits = std::to_string(std::abs(exponent));
    return out + (digits.size() < 2 ? "0" : "") + digits;
  }
  const auto fixed =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed);
  std::string out(buffer.data(), static_cast<size_t>(fixed.ptr - buffer.data()));
  return out.find('.') == std::string::npos ? out + ".0" : out;
}

Result<std::string> Repr(Heap& heap, const Value& value) {
  std::string out;
  RETURN_IF_ERROR(ReprWriter(heap, out).Append(value));
  return out;
}

Status AppendText(Heap& heap, const Value& value, std::string& out) {
  if (value.undefined()) return OkStatus();
  if (!value.is(Type::kString)) return ReprWriter(heap, out).Append(value);
  return AppendBounded(heap, value.text(), out);
}

Result<std::string> ToText(Heap& heap, const Value& value) {
  std::string out;
  RETURN_IF_ERROR(AppendText(heap, value, out));
  return out;
}

}  // namespace shoal::jinja
