#include "model/text/jinja_eval.h"

#include <algorithm>

#include "model/text/jinja_functions.h"
#include "model/text/jinja_methods.h"
#include "model/text/jinja_ops.h"
#include "model/text/jinja_repr.h"

namespace shoal::jinja {

Renderer::Renderer(Heap& heap, const TemplateTree& tree, Value context, CivilDate today)
    : heap_(heap),
      tree_(tree),
      context_(std::move(context)),
      today_(today),
      constants_(tree.string_constants),
      out_(&result_) {}

Renderer::~Renderer() = default;

Result<Value> Renderer::Eval(const Expr& expr) {
  if (!heap_.Spend(1)) return heap_.Exhausted();
  if (expr.kind == ExprKind::kConstant) return EvalConstant(expr);
  if (expr.kind == ExprKind::kName) return EvalName(expr);
  const Heap::Nesting nesting(heap_);
  if (!nesting.ok()) return Heap::TooDeep();
  return EvalNested(expr);
}

Result<Value> Renderer::EvalNested(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::kTuple:
    case ExprKind::kList: return EvalItems(expr);
    case ExprKind::kDict: return EvalDict(expr);
    case ExprKind::kConcat: return EvalConcat(expr);
    case ExprKind::kCompare: return EvalCompare(expr);
    case ExprKind::kConditional: return EvalConditional(expr);
    case ExprKind::kSlice: return EvalSlice(expr);
    case ExprKind::kCall: return EvalCall(expr, Value());
    case ExprKind::kFilter:
    case ExprKind::kTest: return EvalFilterOrTest(expr);
    default: break;
  }
  ASSIGN_OR_RETURN(Value first, Eval(*expr.kids[0]));
  switch (expr.kind) {
    case ExprKind::kNegate: return Negate(first);
    case ExprKind::kPlus: return Plus(first);
    case ExprKind::kNot: return Value::Bool(!Truthy(first));
    case ExprKind::kAnd:
      if (!Truthy(first)) return first;
      return Eval(*expr.kids[1]);
    case ExprKind::kOr:
      if (Truthy(first)) return first;
      return Eval(*expr.kids[1]);
    case ExprKind::kAttribute: return GetAttribute(first, expr.name);
    default: break;
  }
  ASSIGN_OR_RETURN(const Value second, Eval(*expr.kids[1]));
  if (expr.kind == ExprKind::kItem) return GetItem(first, second);
  return Binary(heap_, expr.binary_op, first, second);
}

Result<Value> Renderer::EvalConstant(const Expr& expr) {
  const Constant& constant = *expr.constant;
  switch (constant.type) {
    case Type::kBool: return Value::Bool(constant.boolean);
    case Type::kInt: return Value::Integer(constant.integer);
    case Type::kFloat: return Value::Float(constant.number);
    case Type::kString: {
      Value& made = constants_[constant.index];
      if (made.missing()) {
        ASSIGN_OR_RETURN(made, heap_.String(constant.text));
      }
      return made;
    }
    default: return Value::None();
  }
}

Value& Renderer::Slot(const SlotRef& slot) {
  ScopeObject* scope = &scope_.as<ScopeObject>();
  for (int i = 0; i < slot.hops; ++i) scope = &scope->outer.as<ScopeObject>();
  return scope->slots[slot.index];
}

Value Renderer::FromContext(const std::string& name) {
  if (const Value* found = context_.as<DictObject>().Find(name)) return *found;
  for (const auto& [known, value] : globals_) {
    if (known == name) return value;
  }
  const Function* function = FindGlobal(name);
  if (function == nullptr) return Value();
  auto made = heap_.Make<FunctionObject>(function->name, function->body, Value());
  if (!made.ok()) return Value();  // the next step fails with the same error
  globals_.emplace_back(function->name, made.value());
  return std::move(made).value();
}

Result<Value> Renderer::EvalName(const Expr& expr) {
  const Value& value = Slot(expr.slot);
  if (!value.missing()) return value;
  return heap_.Undefined("'" + expr.name + "' is undefined");
}

Result<Value> Renderer::EvalItems(const Expr& expr) {
  std::vector<Value> items;
  Heap::Hold hold(heap_);
  RETURN_IF_ERROR(hold.Grow(expr.kids.size() * sizeof(Value)));
  items.reserve(expr.kids.size());
  for (const ExprPtr& kid : expr.kids) {
    ASSIGN_OR_RETURN(Value item, Eval(*kid));
    items.push_back(std::move(item));
  }
  return expr.kind == ExprKind::kList ? heap_.List(std::move(items))
                                      : heap_.Tuple(std::move(items));
}

Result<Value> Renderer::EvalDict(const Expr& expr) {
  ASSIGN_OR_RETURN(Value dict, heap_.EmptyDict());
  for (size_t i = 0; i < expr.kids.size(); i += 2) {
    ASSIGN_OR_RETURN(Value key, Eval(*expr.kids[i]));
    ASSIGN_OR_RETURN(Value value, Eval(*expr.kids[i + 1]));
    RETURN_IF_ERROR(heap_.SetItem(dict, std::move(key), std::move(value)));
  }
  return dict;
}

Result<Value> Renderer::EvalConcat(const Expr& expr) {
  // All parts first: the text of one must not be held while another is evaluated.
  std::vector<Value> parts;
  for (const ExprPtr& kid : expr.kids) {
    ASSIGN_OR_RETURN(Value part, Eval(*kid));
    parts.push_back(std::move(part));
  }
  std::string text;
  for (const Value& part : parts) RETURN_IF_ERROR(AppendText(heap_, part, text));
  return heap_.String(std::move(text));
}

Result<Value> Renderer::EvalCompare(const Expr& expr) {
  ASSIGN_OR_RETURN(Value left, Eval(*expr.kids[0]));
  for (size_t i = 0; i < expr.compare_ops.size(); ++i) {
    ASSIGN_OR_RETURN(Value right, Eval(*expr.kids[i + 1]));
    ASSIGN_OR_RETURN(const bool holds, Compare(heap_, expr.compare_ops[i], left, right));
    if (!holds) return Value::Bool(false);
    left = std::move(right);
  }
  return Value::Bool(true);
}

Result<Value> Renderer::EvalConditional(const Expr& expr) {
  ASSIGN_OR_RETURN(const Value test, Eval(*expr.kids[0]));
  if (Truthy(test)) return Eval(*expr.kids[1]);
  if (expr.kids[2]) return Eval(*expr.kids[2]);
  return heap_.Undefined("the inline if-expression on line " + std::to_string(expr.line) +
                         " evaluated to false and no else section was defined.");
}

Result<Value> Renderer::EvalSlice(const Expr& expr) {
  ASSIGN_OR_RETURN(const Value object, Eval(*expr.kids[0]));
  Value bounds[3];
  for (size_t i = 0; i < 3; ++i) {
    if (expr.kids[i + 1] == nullptr) {
      bounds[i] = Value::None();
    } else {
      ASSIGN_OR_RETURN(bounds[i], Eval(*expr.kids[i + 1]));
    }
  }
  return Slice(heap_, object, bounds[0], bounds[1], bounds[2]);
}

Result<CallArguments> Renderer::EvalArguments(const Arguments& arguments) {
  CallArguments values;
  for (const ExprPtr& argument : arguments.positional) {
    ASSIGN_OR_RETURN(Value value, Eval(*argument));
    values.positional.push_back(std::move(value));
  }
  if (arguments.star) {
    ASSIGN_OR_RETURN(const Value star, Eval(*arguments.star));
    ASSIGN_OR_RETURN(std::vector<Value> more, ToVector(heap_, star));
    std::move(more.begin(), more.end(), std::back_inserter(values.positional));
  }
  constexpr size_t kMaxArguments = 10'000;  // they are held for as long as the call runs
  if (values.positional.size() > kMaxArguments) {
    return Fail("a call with more than " + std::to_string(kMaxArguments) + " arguments");
  }
  for (const auto& [name, argument] : arguments.named) {
    ASSIGN_OR_RETURN(Value value, Eval(*argument));
    values.named.emplace_back(name, std::move(value));
  }
  if (!arguments.star_star) return values;
  ASSIGN_OR_RETURN(const Value star_star, Eval(*arguments.star_star));
  if (!star_star.is(Type::kDict)) return Fail("argument after ** must be a mapping");
  const size_t explicit_count = values.named.size();
  const auto& entries = star_star.as<DictObject>().entries;
  if (entries.size() > kMaxArguments) {
    return Fail("a call with more than " + std::to_string(kMaxArguments) + " arguments");
  }
  for (const auto& [key, value] : entries) {
    if (!key.is(Type::kString)) return Fail("keywords must be strings");
    for (size_t i = 0; i < explicit_count; ++i) {
      if (!heap_.Spend(1)) return heap_.Exhausted();
      if (values.named[i].first == key.text()) {
        return Fail("got multiple values for keyword argument '" + key.text() + "'");
      }
    }
    values.named.emplace_back(key.text(), value);
  }
  return values;
}

Result<Value> Renderer::EvalCall(const Expr& expr, const Value& caller) {
  ASSIGN_OR_RETURN(const Value callee, Eval(*expr.kids[0]));
  ASSIGN_OR_RETURN(CallArguments arguments, EvalArguments(*expr.arguments));
  if (!caller.missing()) arguments.named.emplace_back("caller", caller);
  return Call(callee, arguments);
}

Result<Value> Renderer::EvalFilterOrTest(const Expr& expr) {
  Value subject = block_text_;
  if (expr.kids[0]) {
    ASSIGN_OR_RETURN(subject, Eval(*expr.kids[0]));
  }
  ASSIGN_OR_RETURN(CallArguments arguments, EvalArguments(*expr.arguments));
  if (expr.body == nullptr) {
    return Fail(std::string("No ") + (expr.kind == ExprKind::kFilter ? "filter" : "test") +
                " named '" + expr.name + "' found.");
  }
  return expr.body(*this, subject, arguments);
}

Result<Value> Renderer::Call(const Value& callee, CallArguments& arguments) {
  const Heap::Nesting nesting(heap_);
  if (!nesting.ok()) return Heap::TooDeep();
  switch (callee.type()) {
    case Type::kUndefined: return UndefinedError(callee);
    case Type::kFunction: {
      const auto& function = callee.as<FunctionObject>();
      return function.body(*this, function.self, arguments);
    }
    case Type::kMacro: return CallMacro(callee.as<MacroObject>(), arguments);
    case Type::kJoiner: {
      auto& joiner = callee.as<JoinerObject>();
      if (std::exchange(joiner.used, true)) return joiner.separator;
      return heap_.String("");
    }
    case Type::kLoop: {
      const auto& loop = callee.as<LoopObject>();
      if (loop.recursive == nullptr) {
        return Fail("The loop must have the 'recursive' marker to be called recursively.");
      }
      if (arguments.positional.size() != 1 || !arguments.named.empty()) {
        return Fail("loop() takes one argument");
      }
      return RunRecursively(*loop.recursive, arguments.positional[0], loop.depth0 + 1, loop.scope);
    }
    default: return Fail("'" + std::string(TypeName(callee)) + "' object is not callable");
  }
}

Result<Value> Renderer::NothingAt(const Value& object, const Value& key) {
  const std::string owner = object.none() ? "None" : std::string(TypeName(object)) + " object";
  if (key.is(Type::kString)) {
    return heap_.Undefined("'" + owner + "' has no attribute '" + key.text() + "'");
  }
  ASSIGN_OR_RETURN(const std::string shown, Repr(heap_, key));
  return heap_.Undefined(owner + " has no element " + shown);
}

Result<Value> Renderer::GetAttribute(const Value& object, std::string_view name) {
  ASSIGN_OR_RETURN(Value value, Attribute(object, name));
  if (!value.missing()) return value;
  if (object.is(Type::kDict)) {
    if (const Value* found = object.as<DictObject>().Find(name)) return *found;
  }
  ASSIGN_OR_RETURN(const Value key, heap_.String(std::string(name)));
  return NothingAt(object, key);
}

Result<Value> Renderer::GetItem(const Value& object, const Value& key) {
  ASSIGN_OR_RETURN(Value value, Subscript(heap_, object, key));
  if (!value.missing()) return value;
  if (key.is(Type::kString)) {
    ASSIGN_OR_RETURN(value, Attribute(object, key.text()));
    if (!value.missing()) return value;
  }
  return NothingAt(object, key);
}

Result<Value> Renderer::Attribute(const Value& object, std::string_view name) {
  switch (object.type()) {
    case Type::kUndefined: return UndefinedError(object);
    case Type::kNamespace: {
      const Value* found = object.as<NamespaceObject>().attributes.as<DictObject>().Find(name);
      return found != nullptr ? *found : Value();
    }
    case Type::kLoop: return LoopAttribute(object, name);
    default: break;
  }
  if (ChangesObject(object, name)) {
    return heap_.Undefined("access to attribute '" + std::string(name) + "' of '" +
                           std::string(TypeName(object)) + "' object is unsafe.");
  }
  if (const Function* method = FindMethod(object, name)) {
    return heap_.Make<FunctionObject>(method->name, method->body, object);
  }
  return FindProperty(heap_, object, name);
}

Result<Value> Renderer::LoopAttribute(const Value& object, std::string_view name) {
  auto& loop = object.as<LoopObject>();
  if (name == "index") return Value::Integer(loop.index0 + 1);
  if (name == "index0") return Value::Integer(loop.index0);
  if (name == "first") return Value::Bool(loop.index0 == 0);
  if (name == "depth") return Value::Integer(loop.depth0 + 1);
  if (name == "depth0") return Value::Integer(loop.depth0);
  if (name == "previtem") {
    if (loop.index0 == 0) return heap_.Undefined("there is no previous item");
    return loop.previous_item;
  }
  if (name == "last" || name == "nextitem") {
    RETURN_IF_ERROR(Peek(loop));
    if (name == "last") return Value::Bool(loop.peeked.missing());
    if (loop.peeked.missing()) return heap_.Undefined("there is no next item");
    return loop.peeked;
  }
  if (name == "length" || name == "revindex" || name == "revindex0") {
    ASSIGN_OR_RETURN(const Int length, LoopLength(loop));
    if (name == "length") return Value::Integer(length);
    return Value::Integer(length - loop.index0 - (name == "revindex0" ? 1 : 0));
  }
  if (const Function* method = FindMethod(object, name)) {
    return heap_.Make<FunctionObject>(method->name, method->body, object);
  }
  return Value();
}

}  // namespace shoal::jinja
