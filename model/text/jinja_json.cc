#include "model/text/jinja_json.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "model/text/chat_template.h"
#include "model/text/jinja_ops.h"
#include "model/text/jinja_repr.h"
#include "model/text/jinja_unicode.h"

namespace shoal::jinja {
namespace {

void AppendUnicodeEscape(std::string& out, uint32_t unit) {
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += "0123456789abcdef"[(unit >> shift) & 0xF];
}

void AppendJsonString(std::string& out, std::string_view text, bool ensure_ascii) {
  out += '"';
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const char32_t c = NextCodePoint(text, i);
    switch (c) {
      case '"': out += "\\\""; continue;
      case '\\': out += "\\\\"; continue;
      case '\n': out += "\\n"; continue;
      case '\r': out += "\\r"; continue;
      case '\t': out += "\\t"; continue;
      case '\f': out += "\\f"; continue;
      case '\b': out += "\\b"; continue;
      default: break;
    }
    if (c >= 0x20 && (c < 0x7F || !ensure_ascii)) {
      out.append(text, begin, i - begin);
    } else if (c < 0x10000) {
      AppendUnicodeEscape(out, c);
    } else {
      AppendUnicodeEscape(out, 0xD800 + ((c - 0x10000) >> 10));
      AppendUnicodeEscape(out, 0xDC00 + ((c - 0x10000) & 0x3FF));
    }
  }
  out += '"';
}

std::string JsonFloat(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return FloatText(value);
}

class JsonWriter {
 public:
  JsonWriter(Heap& heap, const JsonStyle& style) : heap_(heap), style_(style) {}

  Status Append(const Value& value) {
    const Heap::Nesting nesting(heap_);
    if (!nesting.ok()) return Heap::TooDeep();
    RETURN_IF_ERROR(heap_.SpendBytes(out.size() - spent_));
    spent_ = out.size();
    if (out.size() > TemplateLimits::kMaxOutputBytes) return heap_.SpendText(out.size());
    switch (value.type()) {
      case Type::kNone: out += "null"; return OkStatus();
      case Type::kBool: out += value.boolean() ? "true" : "false"; return OkStatus();
      case Type::kInt: out += IntText(value.integer()); return OkStatus();
      case Type::kFloat: out += JsonFloat(value.number()); return OkStatus();
      case Type::kString:
        AppendJsonString(out, value.text(), style_.ensure_ascii);
        return OkStatus();
      case Type::kList:
      case Type::kTuple: return AppendItems(value.items());
      case Type::kDict: return AppendDict(value.as<DictObject>());
      default:
        return Fail("Object of type " + std::string(TypeName(value)) + " is not JSON serializable");
    }
  }

  std::string out;

 private:
  void NewLine() {
    if (!style_.indent) return;
    out += '\n';
    for (int i = 0; i < level_; ++i) out += *style_.indent;
  }

  Status AppendItems(const std::vector<Value>& items) {
    out += '[';
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += style_.item_separator;
      NewLine();
      RETURN_IF_ERROR(Append(items[i]));
    }
    --level_;
    if (!items.empty()) NewLine();
    out += ']';
    return OkStatus();
  }

  Status AppendDict(const DictObject& dict) {
    auto entries = dict.entries;
    RETURN_IF_ERROR(heap_.SpendBytes(entries.size() * sizeof(entries[0])));
    if (style_.sort_keys) RETURN_IF_ERROR(Sort(entries));
    out += '{';
    ++level_;
    bool first = true;
    for (const auto& [key, value] : entries) {
      if (!first) out += style_.item_separator;
      first = false;
      NewLine();
      RETURN_IF_ERROR(AppendKey(key));
      out += style_.key_separator;
      RETURN_IF_ERROR(Append(value));
    }
    --level_;
    if (!entries.empty()) NewLine();
    out += '}';
    return OkStatus();
  }

  Status Sort(std::vector<std::pair<Value, Value>>& entries) {
    Status status;
    std::stable_sort(entries.begin(), entries.end(), [&](const auto& a, const auto& b) {
      if (!status.ok()) return false;
      auto less = Less(heap_, a.first, b.first);
      if (!less.ok()) status = less.error();
      return less.ok() && less.value();
    });
    return status;
  }

  Status AppendKey(const Value& key) {
    switch (key.type()) {
      case Type::kString: return Append(key);
      case Type::kNone:
      case Type::kBool:
      case Type::kInt:
      case Type::kFloat:
        out += '"';
        RETURN_IF_ERROR(Append(key));
        out += '"';
        return OkStatus();
      default:
        return Fail("keys must be str, int, float, bool or None, not " +
                    std::string(TypeName(key)));
    }
  }

  Heap& heap_;
  const JsonStyle& style_;
  int level_ = 0;
  size_t spent_ = 0;
};

// Builds values while nlohmann's parser reads, which knows no integer beyond 64 bits but hands over
// the text of each number.
class ValueBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit ValueBuilder(Heap& heap) : heap_(heap) {}

  bool null() override { return Add(Value::None()); }
  bool boolean(bool value) override { return Add(Value::Bool(value)); }
  bool number_integer(number_integer_t value) override { return Add(Value::Integer(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Add(Value::Integer(value)); }
  bool number_float(number_float_t value, const string_t& text) override {
    if (text.find_first_of(".eE") != std::string::npos) return Add(Value::Float(value));
    Int integer = 0;
    const bool negative = text[0] == '-';
    for (size_t i = negative ? 1 : 0; i < text.size(); ++i) {
      const int digit = text[i] - '0';
      if (__builtin_mul_overflow(integer, Int{10}, &integer) ||
          __builtin_add_overflow(integer, Int{digit}, &integer)) {
        return Stop(Fail("an integer of more than 128 bits: " + text.substr(0, 50)));
      }
    }
    return Add(Value::Integer(negative ? -integer : integer));
  }
  bool string(string_t& text) override { return Add(heap_.String(std::move(text))); }
  bool binary(binary_t&) override { return Stop(Fail("binary data")); }
  bool start_object(std::size_t) override { return Open(true); }
  bool start_array(std::size_t) override { return Open(false); }
  bool key(string_t& text) override {
    auto name = heap_.String(std::move(text));
    if (!name.ok()) return Stop(name.error());
    open_.back().key = std::move(name).value();
    return true;
  }
  bool end_object() override {
    Value dict = std::move(open_.back().dict);
    open_.pop_back();
    return Add(std::move(dict));
  }
  bool end_array() override {
    auto list = heap_.List(std::move(open_.back().items));
    open_.pop_back();
    return Add(std::move(list));
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    std::string what = error.what();  // "[json.exception.parse_error.101] parse error at ..."
    const size_t end = what.find("] ");
    return Stop(Fail("not valid JSON at byte " + std::to_string(position) + ": " +
                     (end == std::string::npos ? what : what.substr(end + 2))));
  }

  Result<Value> Take() {
    if (!status_.ok()) return status_.error();
    return std::move(result_);
  }

 private:
  struct OpenContainer {
    Value dict;  // kMissing for an array
    Value key;
    std::vector<Value> items;
  };

  bool Stop(Error error) {
    status_ = std::move(error);
    return false;
  }

  bool Open(bool object) {
    if (open_.size() >= static_cast<size_t>(TemplateLimits::kMaxNesting)) {
      return Stop(Fail("JSON nested deeper than " + std::to_string(TemplateLimits::kMaxNesting)));
    }
    open_.emplace_back();
    if (!object) return true;
    auto dict = heap_.EmptyDict();
    if (!dict.ok()) return Stop(dict.error());
    open_.back().dict = std::move(dict).value();
    return true;
  }

  bool Add(Result<Value> value) {
    if (!value.ok()) return Stop(value.error());
    if (open_.empty()) {
      result_ = std::move(value).value();
      return true;
    }
    OpenContainer& container = open_.back();
    if (container.dict.missing()) {
      container.items.push_back(std::move(value).value());
      return heap_.Spend(1) || Stop(heap_.Exhausted());
    }
    const Status status = heap_.SetItem(container.dict, container.key, std::move(value).value());
    return status.ok() || Stop(status.error());
  }

  Heap& heap_;
  std::vector<OpenContainer> open_;
  Value result_;
  Status status_;
};

Result<Value> Convert(Heap& heap, const nlohmann::ordered_json& json, int depth) {
  using Kind = nlohmann::json::value_t;
  if (depth > TemplateLimits::kMaxNesting) {
    return Fail("JSON nested deeper than " + std::to_string(TemplateLimits::kMaxNesting));
  }
  switch (json.type()) {
    case Kind::null: return Value::None();
    case Kind::boolean: return Value::Bool(json.get<bool>());
    case Kind::number_integer: return Value::Integer(json.get<int64_t>());
    case Kind::number_unsigned: return Value::Integer(json.get<uint64_t>());
    case Kind::number_float: return Value::Float(json.get<double>());
    case Kind::string: {
      const auto& text = json.get_ref<const std::string&>();
      if (!ValidUtf8(text)) return Fail("a string that is not valid UTF-8");
      return heap.String(text);
    }
    case Kind::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const auto& item : json) {
        ASSIGN_OR_RETURN(Value value, Convert(heap, item, depth + 1));
        items.push_back(std::move(value));
      }
      return heap.List(std::move(items));
    }
    case Kind::object: {
      ASSIGN_OR_RETURN(Value dict, heap.EmptyDict());
      for (const auto& [name, item] : json.items()) {
        if (!ValidUtf8(name)) return Fail("a key that is not valid UTF-8");
        ASSIGN_OR_RETURN(Value key, heap.String(name));
        ASSIGN_OR_RETURN(Value value, Convert(heap, item, depth + 1));
        RETURN_IF_ERROR(heap.SetItem(dict, std::move(key), std::move(value)));
      }
      return dict;
    }
    default: return Fail("a value that is not JSON");
  }
}

}  // namespace

Result<std::string> ToJson(Heap& heap, const Value& value, const JsonStyle& style) {
  JsonWriter writer(heap, style);
  RETURN_IF_ERROR(writer.Append(value));
  return std::move(writer.out);
}

Result<Value> FromJson(Heap& heap, std::string_view text) {
  ValueBuilder builder(heap);
  nlohmann::json::sax_parse(text, &builder);
  return builder.Take();
}

Result<Value> FromJson(Heap& heap, const nlohmann::ordered_json& json) {
  return Convert(heap, json, 1);
}

}  // namespace shoal::jinja
