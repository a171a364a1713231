#include "model/text/jinja_methods.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <span>

#include "model/text/jinja_arguments.h"
#include "model/text/jinja_eval.h"
#include "model/text/jinja_ops.h"

namespace shoal::jinja {
namespace {

template <DictViewObject::Kind kind>
Result<Value> View(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, BindPositional("items", arguments, 0, 0));
  return renderer.heap().Make<DictViewObject>(self, kind);
}

Result<Value> DictGet(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN(auto given, BindPositional("get", arguments, 1, 2));
  ASSIGN_OR_RETURN(const Value* found, renderer.heap().FindItem(self, given[0]));
  if (found != nullptr) return *found;
  return given[1].missing() ? Value::None() : given[1];
}

// Nothing can change the original, so that a copy can be the same object.
Result<Value> Copy(Renderer&, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, BindPositional("copy", arguments, 0, 0));
  return self;
}

Result<Value> FromKeys(Renderer& renderer, const Value&, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, BindPositional("fromkeys", arguments, 1, 2));
  Heap& heap = renderer.heap();
  ASSIGN_OR_RETURN(Value dict, heap.EmptyDict());
  ASSIGN_OR_RETURN(const auto next, Iterate(heap, given[0]));
  while (true) {
    ASSIGN_OR_RETURN(Value key, next());
    if (key.missing()) return dict;
    RETURN_IF_ERROR(
        heap.SetItem(dict, std::move(key), given[1].missing() ? Value::None() : given[1]));
  }
}

Result<Value> SequenceCount(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, BindPositional("count", arguments, 1, 1));
  Heap& heap = renderer.heap();
  ASSIGN_OR_RETURN(const auto next, Iterate(heap, self));
  Int count = 0;
  while (true) {
    ASSIGN_OR_RETURN(const Value item, next());
    if (item.missing()) return Value::Integer(count);
    ASSIGN_OR_RETURN(const bool equal, Equal(heap, item, given[0]));
    count += equal ? 1 : 0;
  }
}

Result<Value> SequenceIndex(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, BindPositional("index", arguments, 1, 3));
  Heap& heap = renderer.heap();
  ASSIGN_OR_RETURN(const Int length, Length(self));
  ASSIGN_OR_RETURN(Int begin, IntArgument("index", given[1], 0));
  ASSIGN_OR_RETURN(Int end, IntArgument("index", given[2], length));
  if (begin < 0) begin = std::max<Int>(begin + length, 0);
  if (end < 0) end += length;
  for (Int i = begin; i < std::min(end, length); ++i) {
    ASSIGN_OR_RETURN(const Value item, Subscript(heap, self, Value::Integer(i)));
    ASSIGN_OR_RETURN(const bool equal, Equal(heap, item, given[0]));
    if (equal) return Value::Integer(i);
  }
  return Fail("the value is not in the " + std::string(TypeName(self)));
}

Result<Value> BitLength(Renderer&, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given,
                   BindPositional("bit_length", arguments, 0, 0));
  Int rest = self.integer();
  Int bits = 0;
  // Towards zero, so that a negative number has the bits of its magnitude.
  for (; rest != 0; rest /= 2) ++bits;
  return Value::Integer(bits);
}

Result<Value> IsInteger(Renderer&, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given,
                   BindPositional("is_integer", arguments, 0, 0));
  return Value::Bool(std::isfinite(self.number()) && std::floor(self.number()) == self.number());
}

Result<Value> LoopCycle(Renderer&, const Value& self, CallArguments& arguments) {
  if (!arguments.named.empty()) return Fail("cycle() takes no keyword arguments");
  if (arguments.positional.empty()) return Fail("no items for cycling given");
  const auto index = static_cast<size_t>(self.as<LoopObject>().index0);
  return arguments.positional[index % arguments.positional.size()];
}

Result<Value> LoopChanged(Renderer& renderer, const Value& self, CallArguments& arguments) {
  if (!arguments.named.empty()) return Fail("changed() takes no keyword arguments");
  auto& loop = self.as<LoopObject>();
  ASSIGN_OR_RETURN(Value now, renderer.heap().Tuple(std::move(arguments.positional)));
  if (!loop.last_changed.missing()) {
    ASSIGN_OR_RETURN(const bool same, Equal(renderer.heap(), loop.last_changed, now));
    if (same) return Value::Bool(false);
  }
  loop.last_changed = std::move(now);
  return Value::Bool(true);
}

Result<Value> CyclerNext(Renderer&, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, BindPositional("next", arguments, 0, 0));
  auto& cycler = self.as<CyclerObject>();
  const Value& item = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return item;
}

Result<Value> CyclerReset(Renderer&, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, BindPositional("reset", arguments, 0, 0));
  self.as<CyclerObject>().position = 0;
  return Value::None();
}

constexpr Function kDictMethods[] = {
    {"get", DictGet},
    {"keys", View<DictViewObject::Kind::kKeys>},
    {"values", View<DictViewObject::Kind::kValues>},
    {"items", View<DictViewObject::Kind::kItems>},
    {"copy", Copy},
    {"fromkeys", FromKeys},
};
constexpr Function kListMethods[] = {
    {"count", SequenceCount}, {"index", SequenceIndex}, {"copy", Copy}};
constexpr Function kTupleMethods[] = {{"count", SequenceCount}, {"index", SequenceIndex}};
constexpr Function kIntMethods[] = {{"bit_length", BitLength}};
constexpr Function kFloatMethods[] = {{"is_integer", IsInteger}};
constexpr Function kLoopMethods[] = {{"cycle", LoopCycle}, {"changed", LoopChanged}};
constexpr Function kCyclerMethods[] = {{"next", CyclerNext}, {"reset", CyclerReset}};

std::span<const Function> MethodsOf(Type type) {
  switch (type) {
    case Type::kDict: return kDictMethods;
    case Type::kList: return kListMethods;
    case Type::kTuple:
    case Type::kRange: return kTupleMethods;
    case Type::kBool:
    case Type::kInt: return kIntMethods;
    case Type::kFloat: return kFloatMethods;
    case Type::kLoop: return kLoopMethods;
    case Type::kCycler: return kCyclerMethods;
    default: return {};
  }
}

}  // namespace

const Function* FindMethod(const Value& object, std::string_view name) {
  if (object.is(Type::kString)) return FindStringMethod(name);
  const std::span<const Function> methods = MethodsOf(object.type());
  const auto at = std::find_if(methods.begin(), methods.end(),
                               [name](const Function& f) { return f.name == name; });
  return at == methods.end() ? nullptr : &*at;
}

Result<Value> FindProperty(Heap& heap, const Value& object, std::string_view name) {
  switch (object.type()) {
    case Type::kBool:
    case Type::kInt:
      if (name == "real" || name == "numerator") return Value::Integer(object.integer());
      if (name == "imag") return Value::Integer(0);
      if (name == "denominator") return Value::Integer(1);
      return Value();
    case Type::kFloat:
      if (name == "real") return object;
      if (name == "imag") return Value::Float(0);
      return Value();
    case Type::kTuple:
      if (!object.as<SequenceObject>().group) return Value();
      if (name == "grouper") return object.items()[0];
      if (name == "list") return object.items()[1];
      return Value();
    case Type::kRange:
      if (name == "start") return Value::Integer(object.as<RangeObject>().start);
      if (name == "stop") return Value::Integer(object.as<RangeObject>().stop);
      if (name == "step") return Value::Integer(object.as<RangeObject>().step);
      return Value();
    case Type::kMacro:
      if (name == "name") return heap.String(object.as<MacroObject>().definition.name);
      return Value();
    case Type::kCycler: {
      const auto& cycler = object.as<CyclerObject>();
      if (name == "current") return cycler.items[cycler.position];
      return Value();
    }
    default: return Value();
  }
}

bool ChangesObject(const Value& object, std::string_view name) {
  const auto among = [name](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (object.is(Type::kList)) {
    return among({"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"});
  }
  return object.is(Type::kDict) && among({"clear", "pop", "popitem", "setdefault", "update"});
}

}  // namespace shoal::jinja
