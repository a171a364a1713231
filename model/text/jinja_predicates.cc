// The tests that stand behind `is`: part of jinja_filters.h.
#include <algorithm>

#include "model/text/jinja_arguments.h"
#include "model/text/jinja_eval.h"
#include "model/text/jinja_filters.h"
#include "model/text/jinja_ops.h"
#include "model/text/jinja_repr.h"
#include "model/text/jinja_unicode.h"

namespace shoal::jinja {
namespace {

// A test without arguments that looks at nothing but the value.
template <bool (*holds)(const Value&)>
Result<Value> Plain(Renderer&, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("test", arguments, {}));
  return Value::Bool(holds(subject));
}

bool Defined(const Value& value) { return !value.undefined(); }
bool Undefined(const Value& value) { return value.undefined(); }
bool None(const Value& value) { return value.none(); }
bool Boolean(const Value& value) { return value.is(Type::kBool); }
bool True(const Value& value) { return value.is(Type::kBool) && value.boolean(); }
bool False(const Value& value) { return value.is(Type::kBool) && !value.boolean(); }
bool Integer(const Value& value) { return value.is(Type::kInt); }
bool Float(const Value& value) { return value.is(Type::kFloat); }
bool Number(const Value& value) { return value.numeric(); }
bool String(const Value& value) { return value.is(Type::kString); }
bool Mapping(const Value& value) { return value.is(Type::kDict); }
bool IsIterable(const Value& value) { return Iterable(value); }
bool Escaped(const Value& value) {
  return value.is(Type::kString) && value.as<StringObject>().markup;
}
bool Sequence(const Value& value) {
  return value.undefined() || value.is(Type::kString) || value.is(Type::kList) ||
         value.is(Type::kTuple) || value.is(Type::kDict) || value.is(Type::kRange);
}
bool Callable(const Value& value) {
  return value.undefined() || value.is(Type::kFunction) || value.is(Type::kMacro) ||
         value.is(Type::kLoop) || value.is(Type::kJoiner);
}

template <bool (*holds)(std::string_view)>
Result<Value> OfText(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("test", arguments, {}));
  ASSIGN_OR_RETURN(const std::string text, ToText(renderer.heap(), subject));
  return Value::Bool(holds(text));
}

template <CompareOp op>
Result<Value> Compared(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, BindPositional("test", arguments, 1, 1));
  ASSIGN_OR_RETURN(const bool holds, Compare(renderer.heap(), op, subject, given[0]));
  return Value::Bool(holds);
}

Result<Value> In(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, Bind("in", arguments, {"seq"}, 1));
  ASSIGN_OR_RETURN(const bool holds, Contains(renderer.heap(), given[0], subject));
  return Value::Bool(holds);
}

Result<Value> SameAs(Renderer&, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, Bind("sameas", arguments, {"other"}, 1));
  return Value::Bool(subject.SameObject(given[0]));
}

Result<Value> RemainderIs(Renderer& renderer, const Value& subject, const Value& divisor,
                          Int wanted) {
  ASSIGN_OR_RETURN(const Value rest, Binary(renderer.heap(), BinaryOp::kModulo, subject, divisor));
  ASSIGN_OR_RETURN(const bool equal, Equal(renderer.heap(), rest, Value::Integer(wanted)));
  return Value::Bool(equal);
}

Result<Value> DivisibleBy(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, Bind("divisibleby", arguments, {"num"}, 1));
  return RemainderIs(renderer, subject, given[0], 0);
}

template <int wanted>
Result<Value> Parity(Renderer& renderer, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("test", arguments, {}));
  return RemainderIs(renderer, subject, Value::Integer(2), wanted);
}

template <FilterBody (*find)(std::string_view)>
Result<Value> Known(Renderer&, const Value& subject, CallArguments& arguments) {
  ASSIGN_OR_RETURN([[maybe_unused]] const auto given, Bind("test", arguments, {}));
  if (!Hashable(subject)) return Fail("unhashable type: '" + std::string(TypeName(subject)) + "'");
  return Value::Bool(subject.is(Type::kString) && find(subject.text()) != nullptr);
}

constexpr NamedFilter kTests[] = {
    {"defined", Plain<Defined>},
    {"undefined", Plain<Undefined>},
    {"none", Plain<None>},
    {"boolean", Plain<Boolean>},
    {"true", Plain<True>},
    {"false", Plain<False>},
    {"integer", Plain<Integer>},
    {"float", Plain<Float>},
    {"number", Plain<Number>},
    {"string", Plain<String>},
    {"mapping", Plain<Mapping>},
    {"iterable", Plain<IsIterable>},
    {"sequence", Plain<Sequence>},
    {"callable", Plain<Callable>},
    {"escaped", Plain<Escaped>},
    {"lower", OfText<IsLowerText>},
    {"upper", OfText<IsUpperText>},
    {"eq", Compared<CompareOp::kEqual>},
    {"==", Compared<CompareOp::kEqual>},
    {"equalto", Compared<CompareOp::kEqual>},
    {"ne", Compared<CompareOp::kNotEqual>},
    {"!=", Compared<CompareOp::kNotEqual>},
    {"lt", Compared<CompareOp::kLess>},
    {"<", Compared<CompareOp::kLess>},
    {"lessthan", Compared<CompareOp::kLess>},
    {"le", Compared<CompareOp::kLessEqual>},
    {"<=", Compared<CompareOp::kLessEqual>},
    {"gt", Compared<CompareOp::kGreater>},
    {">", Compared<CompareOp::kGreater>},
    {"greaterthan", Compared<CompareOp::kGreater>},
    {"ge", Compared<CompareOp::kGreaterEqual>},
    {">=", Compared<CompareOp::kGreaterEqual>},
    {"in", In},
    {"sameas", SameAs},
    {"divisibleby", DivisibleBy},
    {"even", Parity<0>},
    {"odd", Parity<1>},
    {"filter", Known<FindFilter>},
    {"test", Known<FindTest>},
};

}  // namespace

FilterBody FindTest(std::string_view name) {
  const auto* at = std::find_if(std::begin(kTests), std::end(kTests),
                                [name](const NamedFilter& t) { return t.name == name; });
  return at == std::end(kTests) ? nullptr : at->body;
}

}  // namespace shoal::jinja
