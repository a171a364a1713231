// The values a template computes with, as Python has them, and the heap that counts their cost.
//
// A Value is a small tagged union; strings, containers and the like are reference-counted objects
// of one Heap. Lists, tuples and dicts never change once made (the sandbox that published templates
// run in forbids it), so they hold no cycles. Namespaces, scopes and loops do change: the Heap
// clears them when the rendering ends.
//
// Thread rule: a Heap and its values belong to one thread. A Heap outlives its values.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace shoal::jinja {

class Heap;
class Renderer;
struct Stmt;

// Python's int, as far as 128 bits go; arithmetic beyond them is an error.
using Int = __int128;

enum class Type : uint8_t {
  kMissing,  // no value at all: an unset variable, the end of an iteration
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kDictView,
  kRange,
  kIterator,
  kNamespace,
  kFunction,
  kMacro,
  kLoop,
  kCycler,
  kJoiner,
  kScope,  // never seen by a template
};

struct Object {
  Object(Heap& owner, Type object_type, size_t bytes);
  virtual ~Object();
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  Heap& heap;
  size_t charged_bytes;
  uint32_t references = 0;
  const Type type;
};

class Value {
 public:
  Value() = default;
  Value(const Value& other) : type_(other.type_), data_(other.data_) { Retain(); }
  Value(Value&& other) noexcept : type_(other.type_), data_(other.data_) {
    other.type_ = Type::kMissing;
  }
  Value& operator=(Value other) noexcept {
    std::swap(type_, other.type_);
    std::swap(data_, other.data_);
    return *this;
  }
  ~Value() {
    if (is_object()) Release();
  }

  static Value None() { return Value(Type::kNone); }
  static Value Bool(bool value) {
    Value v(Type::kBool);
    v.data_.boolean = value;
    return v;
  }
  static Value Integer(Int value) {
    Value v(Type::kInt);
    v.data_.integer = value;
    return v;
  }
  static Value Float(double value) {
    Value v(Type::kFloat);
    v.data_.number = value;
    return v;
  }
  static Value Of(Object* object) {
    Value v(object->type);
    v.data_.object = object;
    v.Retain();
    return v;
  }

  Type type() const { return type_; }
  bool is(Type type) const { return type_ == type; }
  bool missing() const { return type_ == Type::kMissing; }
  bool undefined() const { return type_ == Type::kUndefined; }
  bool none() const { return type_ == Type::kNone; }
  // An int as Python's isinstance sees it: a bool is one.
  bool integral() const { return type_ == Type::kInt || type_ == Type::kBool; }
  bool numeric() const { return integral() || type_ == Type::kFloat; }

  // REQUIRES the matching type.
  bool boolean() const { return data_.boolean; }
  Int integer() const { return type_ == Type::kBool ? Int{data_.boolean} : data_.integer; }
  double number() const {
    return type_ == Type::kFloat ? data_.number : static_cast<double>(integer());
  }
  template <typename T>
  T& as() const {
    return static_cast<T&>(*data_.object);
  }
  const std::string& text() const;            // kString
  const std::vector<Value>& items() const;    // kList, kTuple
  bool SameObject(const Value& other) const;  // Python's `is`

 private:
  explicit Value(Type type) : type_(type) {}
  bool is_object() const { return type_ == Type::kUndefined || type_ >= Type::kString; }
  void Retain() {
    if (is_object()) ++data_.object->references;
  }
  void Release();

  union Data {
    Int integer = 0;
    bool boolean;
    double number;
    Object* object;
  };
  Type type_ = Type::kMissing;
  Data data_;
};

struct UndefinedObject : Object {
  UndefinedObject(Heap& owner, std::string text)
      : Object(owner, Type::kUndefined, text.size()), message(std::move(text)) {}
  const std::string message;  // what an operation that undefined does not have fails with
};

struct StringObject : Object {
  StringObject(Heap& owner, std::string s, bool is_markup)
      : Object(owner, Type::kString, s.capacity()), text(std::move(s)), markup(is_markup) {}
  size_t CodePoints() const;  // counted once
  bool ascii() const { return CodePoints() == text.size(); }

  const std::string text;
  const bool markup;  // made by `safe` or `escape`: text added to it is HTML-escaped

 private:
  mutable std::optional<size_t> code_points_;
};

// Of a string.
inline bool IsMarkup(const Value& text) { return text.as<StringObject>().markup; }

// A list or a tuple.
struct SequenceObject : Object {
  static constexpr size_t kMostParts = 1 << 30;

  SequenceObject(Heap& owner, Type sequence_type, std::vector<Value> values, int nesting,
                 size_t part_count)
      : Object(owner, sequence_type, values.capacity() * sizeof(Value)),
        items(std::move(values)),
        parts(part_count),
        depth(nesting) {}
  const std::vector<Value> items;
  const size_t parts;  // values in it at all depths, counted as often as they occur; or kMostParts
  const int depth;     // of containers nested in this one, itself included
  bool group = false;  // made by the groupby filter: has .grouper and .list
};

// Dict keys in the order of a search tree, which agrees with Python's equality: `1 == 1.0 == True`.
// REQUIRES hashable keys.
struct KeyLess {
  using is_transparent = void;
  bool operator()(const Value& a, const Value& b) const;
  bool operator()(const Value& a, std::string_view b) const;
  bool operator()(std::string_view a, const Value& b) const;
};

struct DictObject : Object {
  explicit DictObject(Heap& owner) : Object(owner, Type::kDict, 0) {}
  const Value* Find(const Value& key) const;  // null where absent. REQUIRES Hashable(key)
  const Value* Find(std::string_view key) const;

  std::vector<std::pair<Value, Value>> entries;  // in order of insertion
  std::map<Value, size_t, KeyLess> index;        // of a large dict; empty for a small one
  int depth = 1;                                 // as in SequenceObject
};

// False for what Python cannot have as a key (lists, dicts, and tuples that hold them) and for
// tuples of more than a thousand parts.
bool Hashable(const Value& value);

// dict.keys(), .values(), .items()
struct DictViewObject : Object {
  enum class Kind { kKeys, kValues, kItems };
  DictViewObject(Heap& owner, Value of, Kind view_kind)
      : Object(owner, Type::kDictView, 0), dict(std::move(of)), kind(view_kind) {}
  const Value dict;
  const Kind kind;
};

struct RangeObject : Object {
  RangeObject(Heap& owner, Int from, Int to, Int by)
      : Object(owner, Type::kRange, 0), start(from), stop(to), step(by) {}
  Int size() const;
  const Int start, stop, step;  // step is not 0
};

// What Python's iter() gives, generators included: runs once, has no length.
struct IteratorObject : Object {
  using Source = std::function<Result<Value>()>;  // the next item, kMissing at the end
  IteratorObject(Heap& owner, Source source, std::string_view type_name)
      : Object(owner, Type::kIterator, 0), next(std::move(source)), name(type_name) {}
  Source next;
  const std::string_view name;
};

// An object that may come to hold itself.
struct MutableObject : Object {
  MutableObject(Heap& owner, Type object_type, size_t bytes);
  ~MutableObject() override;
  virtual void Clear() = 0;  // drops every value held
  MutableObject* previous = nullptr;
  MutableObject* following = nullptr;
};

struct NamespaceObject : MutableObject {
  NamespaceObject(Heap& owner, Value values)
      : MutableObject(owner, Type::kNamespace, 0), attributes(std::move(values)) {}
  void Clear() override { attributes = Value(); }
  Value attributes;  // a dict of its own
};

// The variables of one run of a macro (or of the template itself), as the scopes of jinja_scope.h
// number them, and the run it is lexically inside of.
struct ScopeObject : MutableObject {
  ScopeObject(Heap& owner, size_t slot_count, Value outer_scope)
      : MutableObject(owner, Type::kScope, slot_count * sizeof(Value)),
        slots(slot_count),
        outer(std::move(outer_scope)) {}
  void Clear() override {
    slots.clear();
    outer = Value();
  }
  std::vector<Value> slots;
  Value outer;
};

struct CallArguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// A function of the language, or a method bound to `self`.
struct FunctionObject : Object {
  using Body = Result<Value> (*)(Renderer& renderer, const Value& self, CallArguments& arguments);
  FunctionObject(Heap& owner, std::string_view function_name, Body code, Value bound)
      : Object(owner, Type::kFunction, 0),
        name(function_name),
        body(code),
        self(std::move(bound)) {}
  const std::string_view name;  // lives as long as the program
  const Body body;
  const Value self;
};

struct MacroObject : Object {
  MacroObject(Heap& owner, const Stmt& statement, Value defined_in)
      : Object(owner, Type::kMacro, 0), definition(statement), scope(std::move(defined_in)) {}
  const Stmt& definition;
  const Value scope;
};

// The variable `loop`.
struct LoopObject : MutableObject {
  explicit LoopObject(Heap& owner) : MutableObject(owner, Type::kLoop, 0) {}
  void Clear() override {
    iterable = iterator = current = previous_item = peeked = last_changed = scope = Value();
  }
  Value iterable, iterator;
  Value current, previous_item, peeked;  // kMissing where there is none
  bool exhausted = false;
  std::optional<Int> length;
  Int index0 = -1;
  int depth0 = 0;
  Value last_changed;
  const Stmt* recursive = nullptr;  // the loop to run again when `loop(...)` is called
  Value scope;                      // where it stands
};

struct CyclerObject : Object {
  CyclerObject(Heap& owner, std::vector<Value> values)
      : Object(owner, Type::kCycler, values.size() * sizeof(Value)), items(std::move(values)) {}
  const std::vector<Value> items;
  size_t position = 0;
};

struct JoinerObject : Object {
  JoinerObject(Heap& owner, Value between)
      : Object(owner, Type::kJoiner, 0), separator(std::move(between)) {}
  const Value separator;
  bool used = false;
};

// "str", "dict", "NoneType": what Python's messages call the type.
std::string_view TypeName(const Value& value);

}  // namespace shoal::jinja
