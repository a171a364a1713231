#include "model/text/jinja_value.h"

#include <algorithm>
#include <cmath>
#include <compare>

#include "model/text/chat_template.h"
#include "model/text/jinja_heap.h"
#include "model/text/jinja_ops.h"
#include "model/text/jinja_unicode.h"

namespace shoal::jinja {
namespace {

constexpr size_t kSmallDict = 8;             // entries up to which a scan beats a search tree
constexpr size_t kBytesPerStep = 256;        // copied or compared in about the time of one step
constexpr size_t kBytesScannedPerStep = 32;  // looked at one by one, or searched
constexpr size_t kDictEntryBytes = 160;      // an entry and its node in the index

int DepthOf(const Value& value) {
  switch (value.type()) {
    case Type::kList:
    case Type::kTuple: return value.as<SequenceObject>().depth;
    case Type::kDict: return value.as<DictObject>().depth;
    case Type::kDictView: return DepthOf(value.as<DictViewObject>().dict) + 1;
    default: return 0;
  }
}

// Groups of types whose values can be equal.
int KeyRank(const Value& value) {
  if (value.numeric()) return 0;
  if (value.is(Type::kString)) return 1;
  if (value.is(Type::kTuple)) return 2;
  if (value.none()) return 3;
  if (value.undefined()) return 4;
  return 5;
}

}  // namespace

Error Fail(std::string message) { return FailedPrecondition(std::move(message)); }

Object::Object(Heap& owner, Type object_type, size_t bytes)
    : heap(owner), charged_bytes(bytes + sizeof(StringObject)), type(object_type) {
  heap.live_bytes_ += charged_bytes;
}

Object::~Object() { heap.live_bytes_ -= charged_bytes; }

MutableObject::MutableObject(Heap& owner, Type object_type, size_t bytes)
    : Object(owner, object_type, bytes), following(owner.mutable_objects_) {
  if (following != nullptr) following->previous = this;
  owner.mutable_objects_ = this;
}

MutableObject::~MutableObject() {
  if (following != nullptr) following->previous = previous;
  (previous != nullptr ? previous->following : heap.mutable_objects_) = following;
}

const std::string& Value::text() const { return as<StringObject>().text; }

const std::vector<Value>& Value::items() const { return as<SequenceObject>().items; }

bool Value::SameObject(const Value& other) const {
  if (type_ != other.type_) return false;
  switch (type_) {
    case Type::kNone: return true;
    case Type::kBool: return data_.boolean == other.data_.boolean;
    case Type::kInt: return data_.integer == other.data_.integer;
    case Type::kFloat: return data_.number == other.data_.number;
    default: return data_.object == other.data_.object;
  }
}

size_t StringObject::CodePoints() const {
  if (!code_points_) code_points_ = CodePointCount(text);
  return *code_points_;
}

bool KeyLess::operator()(const Value& a, std::string_view b) const {
  return KeyRank(a) != 1 ? KeyRank(a) < 1 : a.text() < b;
}

bool KeyLess::operator()(std::string_view a, const Value& b) const {
  return KeyRank(b) != 1 ? KeyRank(b) > 1 : a < b.text();
}

bool KeyLess::operator()(const Value& a, const Value& b) const {
  const int rank_a = KeyRank(a);
  const int rank_b = KeyRank(b);
  if (rank_a != rank_b) return rank_a < rank_b;
  switch (rank_a) {
    case 0: {
      const std::partial_ordering order = CompareNumbers(a, b);
      if (order != std::partial_ordering::unordered) return order < 0;
      return !std::isnan(a.number()) && std::isnan(b.number());  // NaN comes last
    }
    case 1: return a.text() < b.text();
    case 2:
      return std::lexicographical_compare(a.items().begin(), a.items().end(), b.items().begin(),
                                          b.items().end(), KeyLess());
    case 5: return std::less<Object*>()(&a.as<Object>(), &b.as<Object>());
    default: return false;
  }
}

bool Hashable(const Value& value) {
  constexpr size_t kMaxKeyParts = 1000;  // they are compared in every look-up
  if (value.is(Type::kTuple)) {
    return value.as<SequenceObject>().parts <= kMaxKeyParts &&
           std::all_of(value.items().begin(), value.items().end(), Hashable);
  }
  return !value.is(Type::kList) && !value.is(Type::kDict) && !value.is(Type::kDictView);
}

const Value* DictObject::Find(const Value& key) const {
  const KeyLess less;
  if (!index.empty()) {
    const auto at = index.find(key);
    return at == index.end() ? nullptr : &entries[at->second].second;
  }
  for (const auto& [name, value] : entries) {
    if (!less(name, key) && !less(key, name)) return &value;
  }
  return nullptr;
}

const Value* DictObject::Find(std::string_view key) const {
  if (!index.empty()) {
    const auto at = index.find(key);
    return at == index.end() ? nullptr : &entries[at->second].second;
  }
  for (const auto& [name, value] : entries) {
    if (name.is(Type::kString) && name.text() == key) return &value;
  }
  return nullptr;
}

Int RangeObject::size() const {
  if (step > 0) return start < stop ? (stop - start - 1) / step + 1 : 0;
  return start > stop ? (start - stop - 1) / -step + 1 : 0;
}

Heap::~Heap() {
  // All are held while they are cleared: clearing one drops references to others.
  std::vector<Value> held;
  for (MutableObject* object = mutable_objects_; object != nullptr; object = object->following) {
    held.push_back(Value::Of(object));
  }
  for (const Value& value : held) value.as<MutableObject>().Clear();
}

int64_t Heap::MaxSteps() { return TemplateLimits::kMaxSteps; }

Error Heap::Exhausted() const {
  return Fail("the template takes more than " + std::to_string(max_steps_) + " steps");
}

Error Heap::TooDeep() {
  return Fail("the template nests deeper than " + std::to_string(kMaxDepth) + " levels");
}

Status Heap::SpendBytes(size_t bytes) {
  if (!Spend(1 + static_cast<int64_t>(bytes / kBytesPerStep))) return Exhausted();
  if (bytes > TemplateLimits::kMaxLiveBytes ||
      live_bytes_ > TemplateLimits::kMaxLiveBytes - bytes) {
    return Fail("the template's values need more than " +
                std::to_string(TemplateLimits::kMaxLiveBytes) + " bytes");
  }
  return OkStatus();
}

Status Heap::SpendScan(size_t bytes) {
  if (!Spend(static_cast<int64_t>(bytes / kBytesScannedPerStep))) return Exhausted();
  return OkStatus();
}

Status Heap::SpendText(size_t bytes) {
  if (bytes > TemplateLimits::kMaxOutputBytes) {
    return Fail("a text of more than " + std::to_string(TemplateLimits::kMaxOutputBytes) +
                " bytes: " + std::to_string(bytes));
  }
  return SpendBytes(bytes);
}

Result<Value> Heap::String(std::string text, bool markup) {
  RETURN_IF_ERROR(SpendText(text.size()));
  return Value::Of(new StringObject(*this, std::move(text), markup));
}

Result<Value> Heap::Sequence(Type type, std::vector<Value> items) {
  RETURN_IF_ERROR(SpendBytes(items.size() * sizeof(Value)));
  int depth = 0;
  size_t parts = items.size();
  for (const Value& item : items) {
    depth = std::max(depth, DepthOf(item));
    const bool nested = item.is(Type::kList) || item.is(Type::kTuple);
    parts += nested ? item.as<SequenceObject>().parts : 0;
    parts = std::min(parts, SequenceObject::kMostParts);
  }
  if (depth >= TemplateLimits::kMaxNesting) {
    return Fail("a list nested deeper than " + std::to_string(TemplateLimits::kMaxNesting));
  }
  return Value::Of(new SequenceObject(*this, type, std::move(items), depth + 1, parts));
}

Result<Value> Heap::EmptyDict() { return Make<DictObject>(); }

Result<const Value*> Heap::FindItem(const Value& dict, const Value& key) {
  if (!Hashable(key)) return Fail("unhashable type: '" + std::string(TypeName(key)) + "'");
  // A look-up compares several keys.
  constexpr size_t kComparisons = 8;
  if (key.is(Type::kString) &&
      !Spend(static_cast<int64_t>(key.text().size() * kComparisons / kBytesPerStep))) {
    return Exhausted();
  }
  return dict.as<DictObject>().Find(key);
}

Status Heap::SetItem(Value& dict, Value key, Value item) {
  ASSIGN_OR_RETURN(const Value* present, FindItem(dict, key));
  auto& object = dict.as<DictObject>();
  const int depth = std::max(DepthOf(key), DepthOf(item)) + 1;
  if (depth > TemplateLimits::kMaxNesting) {
    return Fail("a dict nested deeper than " + std::to_string(TemplateLimits::kMaxNesting));
  }
  object.depth = std::max(object.depth, depth);
  if (present != nullptr) {
    const_cast<Value&>(*present) = std::move(item);
    return OkStatus();
  }
  RETURN_IF_ERROR(SpendBytes(kDictEntryBytes));
  object.charged_bytes += kDictEntryBytes;
  live_bytes_ += kDictEntryBytes;
  object.entries.emplace_back(std::move(key), std::move(item));
  if (object.entries.size() <= kSmallDict) return OkStatus();
  for (size_t i = object.index.size(); i < object.entries.size(); ++i) {
    object.index.emplace(object.entries[i].first, i);
  }
  return OkStatus();
}

Result<Value> Heap::Undefined(std::string message) {
  return Make<UndefinedObject>(std::move(message));
}

Result<Value> Heap::Iterator(IteratorObject::Source source, std::string_view name) {
  return Make<IteratorObject>(std::move(source), name);
}

void Heap::Dispose(Object* object) {
  to_dispose_.push_back(object);
  if (disposing_) return;
  disposing_ = true;
  while (!to_dispose_.empty()) {
    Object* last = to_dispose_.back();
    to_dispose_.pop_back();
    delete last;
  }
  disposing_ = false;
}

std::string_view TypeName(const Value& value) {
  switch (value.type()) {
    case Type::kMissing:
    case Type::kUndefined: return "Undefined";
    case Type::kNone: return "NoneType";
    case Type::kBool: return "bool";
    case Type::kInt: return "int";
    case Type::kFloat: return "float";
    case Type::kString: return value.as<StringObject>().markup ? "Markup" : "str";
    case Type::kList: return "list";
    case Type::kTuple: return "tuple";
    case Type::kDict: return "dict";
    case Type::kDictView:
      switch (value.as<DictViewObject>().kind) {
        case DictViewObject::Kind::kKeys: return "dict_keys";
        case DictViewObject::Kind::kValues: return "dict_values";
        case DictViewObject::Kind::kItems: return "dict_items";
      }
      return "dict_items";
    case Type::kRange: return "range";
    case Type::kIterator: return value.as<IteratorObject>().name;
    case Type::kNamespace: return "Namespace";
    case Type::kFunction: return "builtin_function_or_method";
    case Type::kMacro: return "Macro";
    case Type::kLoop: return "LoopContext";
    case Type::kCycler: return "Cycler";
    case Type::kJoiner: return "Joiner";
    case Type::kScope: return "scope";
  }
  return "object";
}

}  // namespace shoal::jinja
