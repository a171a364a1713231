// Filters on lists, dicts and other iterables: part of jinja_filters.h. Those that are generators
// in Jinja2 do their work when their items are asked for.
#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "model/text/jinja_arguments.h"
#include "model/text/jinja_eval.h"
#include "model/text/jinja_filters.h"
#include "model/text/jinja_ops.h"
#include "model/text/jinja_repr.h"
#include "model/text/jinja_text.h"
#include "model/text/jinja_unicode.h"

namespace shoal::jinja {
namespace {

// `attribute` arguments: "a.b.0" names an item of an item.
class AttributePath {
 public:
  static Result<AttributePath> Of(Heap& heap, const Value& attribute) {
    AttributePath path;
    if (attribute.missing() || attribute.none()) return path;
    if (!attribute.is(Type::kString)) {
      path.parts_.push_back(attribute);
      return path;
    }
    for (const std::string_view part : SplitText(attribute.text(), ".", -1)) {
      int64_t index = 0;
      const auto parsed = std::from_chars(part.data(), part.data() + part.size(), index);
      const bool number = !part.empty() && part[0] != '-' && parsed.ec == std::errc() &&
                          parsed.ptr == part.data() + part.size();
      Value key = Value::Integer(index);
      if (!number) {
        ASSIGN_OR_RETURN(key, heap.String(std::string(part)));
      }
      path.parts_.push_back(std::move(key));
    }
    return path;
  }

  void set_default(Value value) { default_ = std::move(value); }

  Result<Value> Get(Renderer& renderer, Value item) const {
    for (const Value& part : parts_) {
      ASSIGN_OR_RETURN(item, renderer.GetItem(item, part));
      if (item.undefined() && !default_.missing() && !default_.none()) item = default_;
    }
    return item;
  }

 private:
  std::vector<Value> parts_;
  Value default_;
};

Result<Value> IgnoreCase(Heap& heap, const Value& value, bool case_sensitive) {
  if (case_sensitive || !value.is(Type::kString)) return value;
  RETURN_IF_ERROR(heap.SpendScan(value.text().size()));
  return heap.String(ToLower(value.text()));
}

// Sorts stably by keys that are compared as Python does.
struct Keyed {
  Value key;
  Value item;
};
Status SortByKey(Heap& heap, std::vector<Keyed>& items, bool reverse) {
  Status status;
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    if (!status.ok()) return false;
    if (!heap.Spend(1)) status = heap.Exhausted();
    auto less = reverse ? Less(heap, b.key, a.key) : Less(heap, a.key, b.key);
    if (!less.ok()) status = less.error();
    return less.ok() && less.value();
  });
  return status;
}

Result<Value> ItemsOf(Heap& heap, const std::vector<Keyed>& keyed) {
  std::vector<Value> items;
  items.reserve(keyed.size());
  for (const Keyed& k : keyed) items.push_back(k.item);
  return heap.List(std::move(items));
}

Result<Value> LengthFilter(Renderer&, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("length", arguments, {}));
  ASSIGN_OR_RETURN(const Int length, Length(subject));
  return Value::Integer(length);
}

Result<Value> ListFilter(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("list", arguments, {}));
  ASSIGN_OR_RETURN(std::vector<Value> items, ToVector(renderer.heap(), subject));
  return renderer.heap().List(std::move(items));
}

Result<Value> Items(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("items", arguments, {}));
  Heap& heap = renderer.heap();
  return heap.Iterator([&heap, subject,
                        next = IteratorObject::Source()]() mutable -> Result<Value> {
    if (!next) {
      Value view = subject;
      if (subject.is(Type::kDict)) {
        ASSIGN_OR_RETURN(view, heap.Make<DictViewObject>(subject, DictViewObject::Kind::kItems));
      } else if (!subject.undefined()) {
        return Fail("Can only get item pairs from a mapping.");
      }
      ASSIGN_OR_RETURN(next, Iterate(heap, view));
    }
    return next();
  });
}

Result<Value> JoinFilter(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  Heap& heap = renderer.heap();
  ASSIGN_OR_RETURN(const auto given, Bind("join", arguments, {"d", "attribute"}));
  ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Of(heap, given[1]));
  std::string separator;
  if (!given[0].missing()) {
    ASSIGN_OR_RETURN(separator, ToText(heap, given[0]));
  }
  ASSIGN_OR_RETURN(const std::vector<Value> items, ToVector(heap, subject));
  std::string text;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) RETURN_IF_ERROR(AppendBounded(heap, separator, text));
    ASSIGN_OR_RETURN(const Value item, path.Get(renderer, items[i]));
    RETURN_IF_ERROR(AppendText(heap, item, text));
  }
  return heap.String(std::move(text));
}

Result<Value> First(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("first", arguments, {}));
  ASSIGN_OR_RETURN(const auto next, Iterate(renderer.heap(), subject));
  ASSIGN_OR_RETURN(Value item, next());
  if (!item.missing()) return item;
  return renderer.heap().Undefined("No first item, sequence was empty.");
}

Result<Value> Last(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("last", arguments, {}));
  Heap& heap = renderer.heap();
  if (subject.is(Type::kIterator)) {
    return Fail("'" + std::string(TypeName(subject)) + "' object is not reversible");
  }
  if (subject.is(Type::kDict) || subject.is(Type::kDictView)) {
    ASSIGN_OR_RETURN(std::vector<Value> items, ToVector(heap, subject));
    if (!items.empty()) return items.back();
  } else {
    ASSIGN_OR_RETURN(const Int length, Length(subject));
    if (length > 0) return Subscript(heap, subject, Value::Integer(-1));
  }
  return heap.Undefined("No last item, sequence was empty.");
}

Result<Value> Reverse(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("reverse", arguments, {}));
  Heap& heap = renderer.heap();
  if (subject.is(Type::kString)) {
    return Slice(heap, subject, Value::None(), Value::None(), Value::Integer(-1));
  }
  if (!Iterable(subject)) return Fail("argument must be iterable");
  ASSIGN_OR_RETURN(std::vector<Value> items, ToVector(heap, subject));
  std::reverse(items.begin(), items.end());
  ASSIGN_OR_RETURN(Value list, heap.List(std::move(items)));
  if (subject.is(Type::kIterator)) return list;
  ASSIGN_OR_RETURN(auto source, Iterate(heap, list));
  return heap.Iterator(std::move(source), "list_reverseiterator");
}

Result<Value> Sort(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  Heap& heap = renderer.heap();
  ASSIGN_OR_RETURN(const auto given,
                   Bind("sort", arguments, {"reverse", "case_sensitive", "attribute"}));
  std::vector<AttributePath> paths;
  if (given[2].is(Type::kString)) {
    for (const std::string_view name : SplitText(given[2].text(), ",", -1)) {
      ASSIGN_OR_RETURN(const Value one, heap.String(std::string(name)));
      ASSIGN_OR_RETURN(AttributePath path, AttributePath::Of(heap, one));
      paths.push_back(std::move(path));
    }
  } else {
    ASSIGN_OR_RETURN(AttributePath path, AttributePath::Of(heap, given[2]));
    paths.push_back(std::move(path));
  }
  ASSIGN_OR_RETURN(const std::vector<Value> items, ToVector(heap, subject));
  std::vector<Keyed> keyed;
  for (const Value& item : items) {
    std::vector<Value> keys;
    for (const AttributePath& path : paths) {
      ASSIGN_OR_RETURN(const Value value, path.Get(renderer, item));
      ASSIGN_OR_RETURN(Value key, IgnoreCase(heap, value, Truthy(given[1])));
      keys.push_back(std::move(key));
    }
    ASSIGN_OR_RETURN(Value key, heap.List(std::move(keys)));
    keyed.push_back({std::move(key), item});
  }
  RETURN_IF_ERROR(SortByKey(heap, keyed, Truthy(given[0])));
  return ItemsOf(heap, keyed);
}

Result<Value> DictSort(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  Heap& heap = renderer.heap();
  ASSIGN_OR_RETURN(const auto given,
                   Bind("dictsort", arguments, {"case_sensitive", "by", "reverse"}));
  ASSIGN_OR_RETURN(const std::string by, TextArgument("dictsort", given[1], "key"));
  if (by != "key" && by != "value") return Fail("You can only sort by either \"key\" or \"value\"");
  if (subject.undefined()) return UndefinedError(subject);
  if (!subject.is(Type::kDict)) {
    return Fail("'" + std::string(TypeName(subject)) + "' object has no attribute 'items'");
  }
  std::vector<Keyed> keyed;
  for (const auto& [name, value] : subject.as<DictObject>().entries) {
    ASSIGN_OR_RETURN(Value key, IgnoreCase(heap, by == "key" ? name : value, Truthy(given[0])));
    ASSIGN_OR_RETURN(Value pair, heap.Tuple({name, value}));
    keyed.push_back({std::move(key), std::move(pair)});
  }
  RETURN_IF_ERROR(SortByKey(heap, keyed, Truthy(given[2])));
  return ItemsOf(heap, keyed);
}

Result<Value> GroupBy(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  Heap& heap = renderer.heap();
  ASSIGN_OR_RETURN(const auto given,
                   Bind("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1));
  ASSIGN_OR_RETURN(AttributePath path, AttributePath::Of(heap, given[0]));
  path.set_default(given[1]);
  ASSIGN_OR_RETURN(const std::vector<Value> items, ToVector(heap, subject));
  std::vector<Keyed> keyed;
  for (const Value& item : items) {
    ASSIGN_OR_RETURN(const Value value, path.Get(renderer, item));
    ASSIGN_OR_RETURN(Value key, IgnoreCase(heap, value, Truthy(given[2])));
    keyed.push_back({std::move(key), item});
  }
  RETURN_IF_ERROR(SortByKey(heap, keyed, false));
  std::vector<Value> groups;
  for (size_t begin = 0; begin < keyed.size();) {
    std::vector<Value> members;
    size_t end = begin;
    for (; end < keyed.size(); ++end) {
      ASSIGN_OR_RETURN(const bool same, Equal(heap, keyed[end].key, keyed[begin].key));
      if (!same) break;
      members.push_back(keyed[end].item);
    }
    ASSIGN_OR_RETURN(Value name, path.Get(renderer, keyed[begin].item));
    ASSIGN_OR_RETURN(Value list, heap.List(std::move(members)));
    ASSIGN_OR_RETURN(Value group, heap.Tuple({std::move(name), std::move(list)}));
    group.as<SequenceObject>().group = true;
    groups.push_back(std::move(group));
    begin = end;
  }
  return heap.List(std::move(groups));
}

Result<Value> Unique(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  Heap& heap = renderer.heap();
  ASSIGN_OR_RETURN(const auto given, Bind("unique", arguments, {"case_sensitive", "attribute"}));
  ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Of(heap, given[1]));
  ASSIGN_OR_RETURN(Value seen, heap.EmptyDict());
  return heap.Iterator([&renderer, subject, path, seen, case_sensitive = Truthy(given[0]),
                        next = IteratorObject::Source()]() mutable -> Result<Value> {
    if (!next) {
      ASSIGN_OR_RETURN(next, Iterate(renderer.heap(), subject));
    }
    while (true) {
      ASSIGN_OR_RETURN(Value item, next());
      if (item.missing()) return item;
      ASSIGN_OR_RETURN(const Value value, path.Get(renderer, item));
      ASSIGN_OR_RETURN(Value key, IgnoreCase(renderer.heap(), value, case_sensitive));
      const size_t before = seen.as<DictObject>().entries.size();
      RETURN_IF_ERROR(renderer.heap().SetItem(seen, std::move(key), Value::None()));
      if (seen.as<DictObject>().entries.size() > before) return item;
    }
  });
}

template <bool greatest>
Result<Value> Extreme(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  Heap& heap = renderer.heap();
  ASSIGN_OR_RETURN(const auto given, Bind("min", arguments, {"case_sensitive", "attribute"}));
  ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Of(heap, given[1]));
  ASSIGN_OR_RETURN(const auto next, Iterate(heap, subject));
  Keyed best;
  while (true) {
    ASSIGN_OR_RETURN(Value item, next());
    if (item.missing()) break;
    ASSIGN_OR_RETURN(const Value value, path.Get(renderer, item));
    ASSIGN_OR_RETURN(Value key, IgnoreCase(heap, value, Truthy(given[0])));
    bool better = true;
    if (!best.item.missing()) {
      ASSIGN_OR_RETURN(better, greatest ? Less(heap, best.key, key) : Less(heap, key, best.key));
    }
    if (better) best = {std::move(key), std::move(item)};
  }
  if (best.item.missing()) return heap.Undefined("No aggregated item, sequence was empty.");
  return best.item;
}

Result<Value> Sum(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  Heap& heap = renderer.heap();
  ASSIGN_OR_RETURN(const auto given, Bind("sum", arguments, {"attribute", "start"}));
  ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Of(heap, given[0]));
  Value total = given[1].missing() ? Value::Integer(0) : given[1];
  if (total.is(Type::kString)) return Fail("sum() can't sum strings [use ''.join(seq) instead]");
  ASSIGN_OR_RETURN(const auto next, Iterate(heap, subject));
  while (true) {
    ASSIGN_OR_RETURN(const Value item, next());
    if (item.missing()) return total;
    ASSIGN_OR_RETURN(const Value value, path.Get(renderer, item));
    ASSIGN_OR_RETURN(total, Binary(heap, BinaryOp::kAdd, total, value));
  }
}

// An iterator over what `make` gives when the first item is asked for.
template <typename Make>
Result<Value> Generated(Heap& heap, Make make) {
  return heap.Iterator([&heap, make, next = IteratorObject::Source()]() mutable -> Result<Value> {
    if (!next) {
      ASSIGN_OR_RETURN(std::vector<Value> items, make());
      ASSIGN_OR_RETURN(const Value list, heap.List(std::move(items)));
      ASSIGN_OR_RETURN(next, Iterate(heap, list));
    }
    return next();
  });
}

Result<std::vector<Value>> Lines(Heap& heap, const Value& subject,
                                 const std::vector<Value>& given) {
  ASSIGN_OR_RETURN(const Int size, IntArgument("batch", given[0], 0));
  ASSIGN_OR_RETURN(const std::vector<Value> items, ToVector(heap, subject));
  const bool fills = !given[1].missing() && !given[1].none();
  std::vector<Value> lines;
  std::vector<Value> line;
  for (const Value& item : items) {
    if (static_cast<Int>(line.size()) == size) {
      ASSIGN_OR_RETURN(Value list, heap.List(std::exchange(line, {})));
      lines.push_back(std::move(list));
    }
    line.push_back(item);
  }
  while (fills && !line.empty() && static_cast<Int>(line.size()) < size) {
    RETURN_IF_ERROR(heap.SpendBytes(line.size()));
    line.push_back(given[1]);
  }
  if (!line.empty()) {
    ASSIGN_OR_RETURN(Value list, heap.List(std::move(line)));
    lines.push_back(std::move(list));
  }
  return lines;
}

Result<Value> Batch(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, Bind("batch", arguments, {"linecount", "fill_with"}, 1));
  Heap& heap = renderer.heap();
  return Generated(heap, [&heap, subject, given] { return Lines(heap, subject, given); });
}

Result<std::vector<Value>> Columns(Heap& heap, const Value& subject,
                                   const std::vector<Value>& given) {
  ASSIGN_OR_RETURN(const Int slices, IntArgument("slice", given[0], 0));
  ASSIGN_OR_RETURN(const std::vector<Value> items, ToVector(heap, subject));
  if (slices == 0) return Fail("integer division or modulo by zero");
  const bool fills = !given[1].missing() && !given[1].none();
  std::vector<Value> parts;
  size_t begin = 0;
  for (Int i = 0; i < slices; ++i) {
    const Int size = static_cast<Int>(items.size());
    const bool extra = i < size % slices;
    const auto count = static_cast<size_t>(size / slices + (extra ? 1 : 0));
    std::vector<Value> part(items.begin() + static_cast<std::ptrdiff_t>(begin),
                            items.begin() + static_cast<std::ptrdiff_t>(begin + count));
    begin += count;
    if (fills && !extra) part.push_back(given[1]);
    ASSIGN_OR_RETURN(Value list, heap.List(std::move(part)));
    parts.push_back(std::move(list));
  }
  return parts;
}

Result<Value> SliceFilter(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, Bind("slice", arguments, {"slices", "fill_with"}, 1));
  Heap& heap = renderer.heap();
  return Generated(heap, [&heap, subject, given] { return Columns(heap, subject, given); });
}

Result<Value> Map(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  Heap& heap = renderer.heap();
  return heap.Iterator([&renderer, &heap, subject, arguments, filter = FilterBody(nullptr),
                        path = AttributePath(),
                        next = IteratorObject::Source()]() mutable -> Result<Value> {
    if (!next) {
      if (!Truthy(subject)) return Value();
      if (!arguments.positional.empty()) {
        ASSIGN_OR_RETURN(const std::string name, TextArgument("map", arguments.positional[0], ""));
        filter = FindFilter(name);
        if (filter == nullptr) return Fail("No filter named '" + name + "'.");
        arguments.positional.erase(arguments.positional.begin());
      } else {
        ASSIGN_OR_RETURN(const auto given, Bind("map", arguments, {"attribute", "default"}));
        if (given[0].missing()) return Fail("map requires a filter argument");
        ASSIGN_OR_RETURN(path, AttributePath::Of(heap, given[0]));
        path.set_default(given[1]);
      }
      ASSIGN_OR_RETURN(next, Iterate(heap, subject));
    }
    ASSIGN_OR_RETURN(Value item, next());
    if (item.missing()) return item;
    if (filter == nullptr) return path.Get(renderer, item);
    CallArguments copy = arguments;
    return filter(renderer, item, copy);
  });
}

// select, reject, selectattr, rejectattr
template <bool keeps, bool by_attribute>
Result<Value> Select(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  Heap& heap = renderer.heap();
  return heap.Iterator([&renderer, &heap, subject, arguments, test = FilterBody(nullptr),
                        path = AttributePath(),
                        next = IteratorObject::Source()]() mutable -> Result<Value> {
    if (!next) {
      if (!Truthy(subject)) return Value();
      auto& given = arguments.positional;
      if (by_attribute) {
        if (given.empty()) return Fail("Missing parameter for attribute name");
        ASSIGN_OR_RETURN(path, AttributePath::Of(heap, given[0]));
        given.erase(given.begin());
      }
      if (!given.empty()) {
        ASSIGN_OR_RETURN(const std::string name, TextArgument("select", given[0], ""));
        test = FindTest(name);
        if (test == nullptr) return Fail("No test named '" + name + "'.");
        given.erase(given.begin());
      }
      ASSIGN_OR_RETURN(next, Iterate(heap, subject));
    }
    while (true) {
      ASSIGN_OR_RETURN(Value item, next());
      if (item.missing()) return item;
      ASSIGN_OR_RETURN(Value value, path.Get(renderer, item));
      if (test != nullptr) {
        CallArguments copy = arguments;
        ASSIGN_OR_RETURN(value, test(renderer, value, copy));
      }
      if (Truthy(value) == keeps) return item;
    }
  });
}

constexpr NamedFilter kSequenceFilters[] = {
    {"length", LengthFilter},
    {"count", LengthFilter},
    {"list", ListFilter},
    {"items", Items},
    {"join", JoinFilter},
    {"first", First},
    {"last", Last},
    {"map", Map},
    {"select", Select<true, false>},
    {"reject", Select<false, false>},
    {"selectattr", Select<true, true>},
    {"rejectattr", Select<false, true>},
    {"dictsort", DictSort},
    {"sort", Sort},
    {"unique", Unique},
    {"reverse", Reverse},
    {"groupby", GroupBy},
    {"min", Extreme<false>},
    {"max", Extreme<true>},
    {"sum", Sum},
    {"batch", Batch},
    {"slice", SliceFilter},
};

}  // namespace

FilterBody FindSequenceFilter(std::string_view name) {
  const auto* at = std::find_if(std::begin(kSequenceFilters), std::end(kSequenceFilters),
                                [name](const NamedFilter& f) { return f.name == name; });
  return at == std::end(kSequenceFilters) ? nullptr : at->body;
}

}  // namespace shoal::jinja
