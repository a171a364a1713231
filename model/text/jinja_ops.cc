#include "model/text/jinja_ops.h"

#include <algorithm>
#include <cmath>

#include "model/text/jinja_repr.h"
#include "model/text/jinja_text.h"
#include "model/text/jinja_unicode.h"

namespace shoal::jinja {
namespace {

constexpr double kTwoTo126 = 0x1p126;

Error NotOrdered(const Value& a, const Value& b) {
  if (a.undefined()) return UndefinedError(a);
  if (b.undefined()) return UndefinedError(b);
  return Fail("'<' not supported between instances of '" + std::string(TypeName(a)) + "' and '" +
              std::string(TypeName(b)) + "'");
}

Result<bool> EqualItems(Heap& heap, const std::vector<Value>& a, const std::vector<Value>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    ASSIGN_OR_RETURN(const bool equal, Equal(heap, a[i], b[i]));
    if (!equal) return false;
  }
  return true;
}

Result<bool> EqualDicts(Heap& heap, const Value& a, const Value& b) {
  const auto& entries = a.as<DictObject>().entries;
  if (entries.size() != b.as<DictObject>().entries.size()) return false;
  for (const auto& [key, value] : entries) {
    if (!heap.Spend(1)) return heap.Exhausted();
    ASSIGN_OR_RETURN(const Value* other, heap.FindItem(b, key));
    if (other == nullptr) return false;
    ASSIGN_OR_RETURN(const bool equal, Equal(heap, value, *other));
    if (!equal) return false;
  }
  return true;
}

Result<bool> ContainsText(Heap& heap, const Value& container, const Value& item) {
  if (!item.is(Type::kString)) {
    return Fail("'in <string>' requires string as left operand, not " +
                std::string(TypeName(item)));
  }
  const std::string& text = container.text();
  const std::string& wanted = item.text();
  RETURN_IF_ERROR(heap.SpendScan(text.size() + wanted.size()));
  return FindFirst(text, wanted) != std::string::npos;
}

Result<bool> ContainsByIteration(Heap& heap, const Value& container, const Value& item) {
  ASSIGN_OR_RETURN(auto next, Iterate(heap, container));
  while (true) {
    ASSIGN_OR_RETURN(const Value candidate, next());
    if (candidate.missing()) return false;
    ASSIGN_OR_RETURN(const bool equal, Equal(heap, candidate, item));
    if (equal) return true;
  }
}

// An index within [-size, size) as an offset; nullopt outside.
std::optional<size_t> Offset(Int index, size_t size) {
  const Int length = static_cast<Int>(size);
  if (index < 0) index += length;
  if (index < 0 || index >= length) return std::nullopt;
  return static_cast<size_t>(index);
}

// A string's code point as a string of its own.
Result<Value> CodePointAt(Heap& heap, const StringObject& object, size_t index) {
  if (!object.ascii()) RETURN_IF_ERROR(heap.SpendScan(object.text.size()));
  const size_t begin = object.ascii() ? index : ByteOffset(object.text, index);
  size_t end = begin;
  NextCodePoint(object.text, end);
  return heap.String(object.text.substr(begin, end - begin), object.markup);
}

struct SliceBounds {
  Int start = 0;
  Int step = 1;
  Int count = 0;
  Int stop = 0;
};

Result<std::optional<Int>> SliceIndex(const Value& value) {
  if (value.none()) return std::optional<Int>();
  if (value.integral()) return std::optional<Int>(value.integer());
  return Fail("slice indices must be integers or None or have an __index__ method");
}

// Python's slice.indices().
Result<SliceBounds> ResolveSlice(Int length, const Value& start, const Value& stop,
                                 const Value& step) {
  ASSIGN_OR_RETURN(const auto from, SliceIndex(start));
  ASSIGN_OR_RETURN(const auto to, SliceIndex(stop));
  ASSIGN_OR_RETURN(const auto by, SliceIndex(step));
  constexpr Int kFar = Int{1} << 64;
  SliceBounds bounds;
  bounds.step = std::clamp(by.value_or(1), -kFar, kFar);
  if (bounds.step == 0) return Fail("slice step cannot be zero");
  const bool forward = bounds.step > 0;
  const Int lowest = forward ? 0 : -1;
  const Int highest = forward ? length : length - 1;
  const auto resolve = [&](const std::optional<Int>& index, Int absent) {
    if (!index) return absent;
    const Int at = std::clamp(*index, -kFar, kFar);
    return std::clamp(at < 0 ? at + length : at, lowest, highest);
  };
  bounds.start = resolve(from, forward ? lowest : highest);
  bounds.stop = resolve(to, forward ? highest : lowest);
  if (forward && bounds.start < bounds.stop) {
    bounds.count = (bounds.stop - bounds.start - 1) / bounds.step + 1;
  } else if (!forward && bounds.start > bounds.stop) {
    bounds.count = (bounds.start - bounds.stop - 1) / -bounds.step + 1;
  }
  return bounds;
}

Result<Value> SliceText(Heap& heap, const StringObject& object, const SliceBounds& bounds) {
  const std::string& text = object.text;
  if (bounds.count == 0) return heap.String("", object.markup);
  RETURN_IF_ERROR(object.ascii() && bounds.step == 1 ? OkStatus() : heap.SpendScan(text.size()));
  if (bounds.step == 1) {
    const auto first = static_cast<size_t>(bounds.start);
    const auto count = static_cast<size_t>(bounds.count);
    if (object.ascii()) return heap.String(text.substr(first, count), object.markup);
    const std::string_view rest = std::string_view(text).substr(ByteOffset(text, first));
    return heap.String(std::string(rest.substr(0, ByteOffset(rest, count))), object.markup);
  }
  std::vector<size_t> offsets;
  if (!object.ascii()) {
    RETURN_IF_ERROR(heap.SpendBytes(object.CodePoints() * sizeof(size_t)));
    offsets.reserve(object.CodePoints());
    for (size_t i = 0; i < text.size(); NextCodePoint(text, i)) offsets.push_back(i);
  }
  std::string out;
  for (Int k = 0, at = bounds.start; k < bounds.count; ++k, at += bounds.step) {
    const size_t begin =
        offsets.empty() ? static_cast<size_t>(at) : offsets[static_cast<size_t>(at)];
    size_t end = begin;
    NextCodePoint(text, end);
    out.append(text, begin, end - begin);
  }
  return heap.String(std::move(out), object.markup);
}

}  // namespace

Error UndefinedError(const Value& value) { return Fail(value.as<UndefinedObject>().message); }

bool Truthy(const Value& value) {
  switch (value.type()) {
    case Type::kMissing:
    case Type::kUndefined:
    case Type::kNone: return false;
    case Type::kBool: return value.boolean();
    case Type::kInt: return value.integer() != 0;
    case Type::kFloat: return value.number() != 0;
    case Type::kString: return !value.text().empty();
    case Type::kList:
    case Type::kTuple: return !value.items().empty();
    case Type::kDict: return !value.as<DictObject>().entries.empty();
    case Type::kDictView: return Truthy(value.as<DictViewObject>().dict);
    case Type::kRange: return value.as<RangeObject>().size() > 0;
    default: return true;
  }
}

std::partial_ordering CompareNumbers(const Value& a, const Value& b) {
  if (a.integral() && b.integral()) return a.integer() <=> b.integer();
  if (a.is(Type::kFloat) && b.is(Type::kFloat)) return a.number() <=> b.number();
  if (a.is(Type::kFloat)) return 0 <=> CompareNumbers(b, a);
  // An int against a float: exact, where converting the int would round.
  const double number = b.number();
  if (!(std::abs(number) < kTwoTo126)) return 0.0 <=> number;
  const double whole = std::trunc(number);
  const auto order = a.integer() <=> static_cast<Int>(whole);
  if (order != 0) return order;
  return whole <=> number;
}

Result<bool> Equal(Heap& heap, const Value& a, const Value& b) {
  if (!heap.Spend(1)) return heap.Exhausted();
  if (a.numeric() && b.numeric()) return CompareNumbers(a, b) == 0;
  if (a.type() != b.type()) return false;
  if (a.SameObject(b)) return true;
  switch (a.type()) {
    case Type::kUndefined: return true;
    case Type::kString: {
      if (a.text().size() != b.text().size()) return false;
      RETURN_IF_ERROR(heap.SpendBytes(a.text().size()));
      return a.text() == b.text();
    }
    case Type::kList:
    case Type::kTuple: return EqualItems(heap, a.items(), b.items());
    case Type::kDict: return EqualDicts(heap, a, b);
    case Type::kRange: {
      const auto& x = a.as<RangeObject>();
      const auto& y = b.as<RangeObject>();
      const Int size = x.size();
      return size == y.size() &&
             (size == 0 || (x.start == y.start && (size == 1 || x.step == y.step)));
    }
    default: return false;
  }
}

Result<bool> Less(Heap& heap, const Value& a, const Value& b) {
  if (a.numeric() && b.numeric()) return CompareNumbers(a, b) < 0;
  if (a.is(Type::kString) && b.is(Type::kString)) {
    RETURN_IF_ERROR(heap.SpendBytes(std::min(a.text().size(), b.text().size())));
    return a.text() < b.text();  // UTF-8 sorts as its code points do
  }
  const bool sequences = a.is(Type::kList) || a.is(Type::kTuple);
  if (!sequences || a.type() != b.type()) return NotOrdered(a, b);
  const std::vector<Value>& x = a.items();
  const std::vector<Value>& y = b.items();
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    ASSIGN_OR_RETURN(const bool equal, Equal(heap, x[i], y[i]));
    if (!equal) return Less(heap, x[i], y[i]);
  }
  return x.size() < y.size();
}

Result<bool> Compare(Heap& heap, CompareOp op, const Value& a, const Value& b) {
  const auto negate = [](Result<bool> result) -> Result<bool> {
    if (!result.ok()) return result;
    return !result.value();
  };
  switch (op) {
    case CompareOp::kEqual: return Equal(heap, a, b);
    case CompareOp::kNotEqual: return negate(Equal(heap, a, b));
    case CompareOp::kIn: return Contains(heap, b, a);
    case CompareOp::kNotIn: return negate(Contains(heap, b, a));
    case CompareOp::kLess: return Less(heap, a, b);
    case CompareOp::kGreater: return Less(heap, b, a);
    case CompareOp::kLessEqual:
    case CompareOp::kGreaterEqual: break;
  }
  // Not the negation of the opposite: NaN is neither.
  ASSIGN_OR_RETURN(const bool less,
                   op == CompareOp::kLessEqual ? Less(heap, a, b) : Less(heap, b, a));
  if (less) return true;
  return Equal(heap, a, b);
}

Result<bool> Contains(Heap& heap, const Value& container, const Value& item) {
  switch (container.type()) {
    case Type::kString: return ContainsText(heap, container, item);
    case Type::kDict: {
      ASSIGN_OR_RETURN(const Value* found, heap.FindItem(container, item));
      return found != nullptr;
    }
    case Type::kRange:
      if (item.integral()) {
        const auto& range = container.as<RangeObject>();
        const Int offset = item.integer() - range.start;
        return offset % range.step == 0 && offset / range.step >= 0 &&
               offset / range.step < range.size();
      }
      return ContainsByIteration(heap, container, item);
    default:
      if (!Iterable(container)) {
        return Fail("argument of type '" + std::string(TypeName(container)) + "' is not iterable");
      }
      return ContainsByIteration(heap, container, item);
  }
}

Result<Int> Length(const Value& value) {
  switch (value.type()) {
    case Type::kUndefined: return Int{0};
    case Type::kString: return static_cast<Int>(value.as<StringObject>().CodePoints());
    case Type::kList:
    case Type::kTuple: return static_cast<Int>(value.items().size());
    case Type::kDict: return static_cast<Int>(value.as<DictObject>().entries.size());
    case Type::kDictView: return Length(value.as<DictViewObject>().dict);
    case Type::kRange: return value.as<RangeObject>().size();
    default: return Fail("object of type '" + std::string(TypeName(value)) + "' has no len()");
  }
}

Result<Value> Subscript(Heap& heap, const Value& object, const Value& key) {
  switch (object.type()) {
    case Type::kUndefined: return UndefinedError(object);
    case Type::kString: {
      if (!key.integral()) return Value();
      const auto& text = object.as<StringObject>();
      const auto offset = Offset(key.integer(), text.CodePoints());
      if (!offset) return Value();
      return CodePointAt(heap, text, *offset);
    }
    case Type::kList:
    case Type::kTuple: {
      if (!key.integral()) return Value();
      const auto offset = Offset(key.integer(), object.items().size());
      return offset ? object.items()[*offset] : Value();
    }
    case Type::kDict: {
      if (!Hashable(key)) return Value();
      ASSIGN_OR_RETURN(const Value* found, heap.FindItem(object, key));
      return found != nullptr ? *found : Value();
    }
    case Type::kRange: {
      if (!key.integral()) return Value();
      const auto& range = object.as<RangeObject>();
      const auto offset = Offset(key.integer(), static_cast<size_t>(range.size()));
      if (!offset) return Value();
      return Value::Integer(range.start + static_cast<Int>(*offset) * range.step);
    }
    default: return Value();
  }
}

Result<Value> Slice(Heap& heap, const Value& object, const Value& start, const Value& stop,
                    const Value& step) {
  const bool sequence = object.is(Type::kList) || object.is(Type::kTuple);
  if (object.undefined()) return UndefinedError(object);
  if (!sequence && !object.is(Type::kString) && !object.is(Type::kRange)) {
    return Fail("'" + std::string(TypeName(object)) + "' object cannot be sliced");
  }
  ASSIGN_OR_RETURN(const Int length, Length(object));
  ASSIGN_OR_RETURN(const SliceBounds bounds, ResolveSlice(length, start, stop, step));
  if (object.is(Type::kString)) return SliceText(heap, object.as<StringObject>(), bounds);
  if (object.is(Type::kRange)) {
    const auto& range = object.as<RangeObject>();
    return heap.Make<RangeObject>(range.start + bounds.start * range.step,
                                  range.start + bounds.stop * range.step, range.step * bounds.step);
  }
  std::vector<Value> items;
  RETURN_IF_ERROR(heap.SpendBytes(static_cast<size_t>(bounds.count) * sizeof(Value)));
  items.reserve(static_cast<size_t>(bounds.count));
  for (Int k = 0, at = bounds.start; k < bounds.count; ++k, at += bounds.step) {
    items.push_back(object.items()[static_cast<size_t>(at)]);
  }
  return object.is(Type::kList) ? heap.List(std::move(items)) : heap.Tuple(std::move(items));
}

bool Iterable(const Value& value) {
  switch (value.type()) {
    case Type::kUndefined:
    case Type::kString:
    case Type::kList:
    case Type::kTuple:
    case Type::kDict:
    case Type::kDictView:
    case Type::kRange:
    case Type::kIterator: return true;
    default: return false;
  }
}

namespace {

// The source of a container whose items `item_at` makes from their index.
template <typename ItemAt>
IteratorObject::Source ByIndex(Heap& heap, size_t size, ItemAt item_at) {
  return [&heap, size, item_at, i = size_t{0}]() mutable -> Result<Value> {
    if (!heap.Spend(1)) return heap.Exhausted();
    if (i >= size) return Value();
    return item_at(i++);
  };
}

IteratorObject::Source IterateText(Heap& heap, const Value& value) {
  return [&heap, value, offset = size_t{0}]() mutable -> Result<Value> {
    const auto& object = value.as<StringObject>();
    if (offset >= object.text.size()) return Value();
    const size_t begin = offset;
    NextCodePoint(object.text, offset);
    return heap.String(object.text.substr(begin, offset - begin));  // of Markup too
  };
}

}  // namespace

Result<IteratorObject::Source> Iterate(Heap& heap, const Value& value) {
  using Source = IteratorObject::Source;
  switch (value.type()) {
    case Type::kUndefined: return Source([]() -> Result<Value> { return Value(); });
    case Type::kString: return IterateText(heap, value);
    case Type::kList:
    case Type::kTuple:
      return ByIndex(heap, value.items().size(),
                     [value](size_t i) -> Result<Value> { return value.items()[i]; });
    case Type::kDict:
      return ByIndex(heap, value.as<DictObject>().entries.size(), [value](size_t i) {
        return Result<Value>(value.as<DictObject>().entries[i].first);
      });
    case Type::kDictView: {
      const auto& view = value.as<DictViewObject>();
      return ByIndex(heap, view.dict.as<DictObject>().entries.size(),
                     [&heap, value](size_t i) -> Result<Value> {
                       const auto& of = value.as<DictViewObject>();
                       const auto& entry = of.dict.as<DictObject>().entries[i];
                       if (of.kind == DictViewObject::Kind::kKeys) return entry.first;
                       if (of.kind == DictViewObject::Kind::kValues) return entry.second;
                       return heap.Tuple({entry.first, entry.second});
                     });
    }
    case Type::kRange:
      return ByIndex(heap, static_cast<size_t>(value.as<RangeObject>().size()), [value](size_t i) {
        const auto& range = value.as<RangeObject>();
        return Result<Value>(Value::Integer(range.start + static_cast<Int>(i) * range.step));
      });
    case Type::kIterator:
      return Source([&heap, value]() -> Result<Value> {
        if (!heap.Spend(1)) return heap.Exhausted();
        const Heap::Nesting nesting(heap);
        if (!nesting.ok()) return Heap::TooDeep();
        return value.as<IteratorObject>().next();
      });
    default: return Fail("'" + std::string(TypeName(value)) + "' object is not iterable");
  }
}

Result<std::vector<Value>> ToVector(Heap& heap, const Value& value) {
  if (value.is(Type::kList) || value.is(Type::kTuple)) {
    RETURN_IF_ERROR(heap.SpendBytes(value.items().size() * sizeof(Value)));
    return value.items();
  }
  ASSIGN_OR_RETURN(auto next, Iterate(heap, value));
  std::vector<Value> items;
  Heap::Hold hold(heap);
  while (true) {
    ASSIGN_OR_RETURN(Value item, next());
    if (item.missing()) return items;
    const size_t capacity = items.capacity();
    items.push_back(std::move(item));
    if (items.capacity() > capacity) {
      RETURN_IF_ERROR(hold.Grow((items.capacity() - capacity) * sizeof(Value)));
    }
  }
}

Result<Value> Escape(Heap& heap, const Value& value) {
  if (value.is(Type::kString) && value.as<StringObject>().markup) return value;
  ASSIGN_OR_RETURN(const std::string text, ToText(heap, value));
  RETURN_IF_ERROR(heap.SpendScan(text.size()));
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '\'': out += "&#39;"; break;
      case '"': out += "&#34;"; break;
      default: out += c;
    }
  }
  return heap.String(std::move(out), true);
}

}  // namespace shoal::jinja
