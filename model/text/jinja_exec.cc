// The statements of a template: the second half of jinja_eval.h.
#include <utility>

#include "model/text/jinja_eval.h"
#include "model/text/jinja_ops.h"
#include "model/text/jinja_repr.h"

namespace shoal::jinja {
namespace {

// Says where in the template an error came up, unless it is the template's own message.
Error Located(Error error, int line) {
  if (error.code != ErrorCode::kFailedPrecondition || error.message.starts_with("line ")) {
    return error;
  }
  return error.WithContext("line " + std::to_string(line));
}

}  // namespace

class Renderer::ScopeSwitch {
 public:
  ScopeSwitch(Renderer& renderer, Value scope)
      : renderer_(renderer), before_(std::exchange(renderer.scope_, std::move(scope))) {}
  ~ScopeSwitch() { renderer_.scope_ = std::move(before_); }
  ScopeSwitch(const ScopeSwitch&) = delete;
  ScopeSwitch& operator=(const ScopeSwitch&) = delete;

 private:
  Renderer& renderer_;
  Value before_;
};

// Collects what is written while it lives.
class Renderer::OutputSwitch {
 public:
  explicit OutputSwitch(Renderer& renderer)
      : renderer_(renderer),
        before_(std::exchange(renderer.out_, &text_)),
        bytes_before_(renderer.out_bytes_) {}
  ~OutputSwitch() { Restore(); }
  OutputSwitch(const OutputSwitch&) = delete;
  OutputSwitch& operator=(const OutputSwitch&) = delete;
  std::string Take() { return std::move(text_); }
  void Restore() {
    renderer_.out_ = before_;
    renderer_.out_bytes_ = bytes_before_;
  }

 private:
  Renderer& renderer_;
  std::string text_;
  std::string* const before_;
  const size_t bytes_before_;
};

Result<std::string> Renderer::Run() {
  ASSIGN_OR_RETURN(Value scope, heap_.Make<ScopeObject>(tree_.slot_count, Value()));
  const ScopeSwitch scope_switch(*this, std::move(scope));
  Enter(tree_.entry);
  ASSIGN_OR_RETURN([[maybe_unused]] const Flow flow, Run(tree_.body));
  return std::move(result_);
}

Result<Renderer::Flow> Renderer::Run(const Block& block) {
  const Heap::Nesting nesting(heap_);
  if (!nesting.ok()) return Heap::TooDeep();
  for (const StmtPtr& statement : block) {
    if (!heap_.Spend(1)) return Located(heap_.Exhausted(), statement->line);
    auto flow = Run(*statement);
    if (!flow.ok()) return Located(flow.error(), statement->line);
    if (flow.value() != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Renderer::Flow> Renderer::Run(const Stmt& statement) {
  switch (statement.kind) {
    case StmtKind::kData: RETURN_IF_ERROR(Append(statement.text)); break;
    case StmtKind::kPrint: {
      ASSIGN_OR_RETURN(const Value value, Eval(*statement.value));
      RETURN_IF_ERROR(Print(value));
      break;
    }
    case StmtKind::kSet: {
      ASSIGN_OR_RETURN(Value value, Eval(*statement.value));
      RETURN_IF_ERROR(Assign(*statement.target, std::move(value)));
      break;
    }
    case StmtKind::kIf: return RunIf(statement);
    case StmtKind::kFor: return RunFor(statement);
    case StmtKind::kMacro: {
      ASSIGN_OR_RETURN(Slot(statement.slot), heap_.Make<MacroObject>(statement, scope_));
      break;
    }
    case StmtKind::kCallBlock: RETURN_IF_ERROR(RunCallBlock(statement)); break;
    case StmtKind::kSetBlock:
    case StmtKind::kFilterBlock: return RunCapture(statement);
    case StmtKind::kWith: return RunWith(statement);
    case StmtKind::kBlock: Enter(statement.entry); return Run(statement.body);
    case StmtKind::kBreak: return Flow::kBreak;
    case StmtKind::kContinue: return Flow::kContinue;
    case StmtKind::kUnsupported:
      return Fail("'" + statement.text + "' needs other templates, and there are none");
  }
  return Flow::kNext;
}

Result<Renderer::Flow> Renderer::RunIf(const Stmt& statement) {
  ASSIGN_OR_RETURN(const Value test, Eval(*statement.value));
  return Run(Truthy(test) ? statement.body : statement.else_body);
}

void Renderer::Enter(const ScopeEntry& entry) {
  auto& scope = scope_.as<ScopeObject>();
  for (const SlotLoad& load : entry) {
    switch (load.action) {
      case SlotLoad::Action::kUnset: scope.slots[load.slot] = Value(); break;
      case SlotLoad::Action::kContext: scope.slots[load.slot] = FromContext(load.name); break;
      case SlotLoad::Action::kCopy: scope.slots[load.slot] = Slot(load.source); break;
    }
  }
}

Status Renderer::Append(std::string_view text) {
  RETURN_IF_ERROR(heap_.SpendBytes(text.size()));
  out_bytes_ += text.size();
  if (out_bytes_ > TemplateLimits::kMaxOutputBytes) return heap_.SpendText(out_bytes_);
  *out_ += text;
  return OkStatus();
}

Status Renderer::Print(const Value& value) {
  if (value.is(Type::kString)) return Append(value.text());
  ASSIGN_OR_RETURN(const std::string text, ToText(heap_, value));
  return Append(text);
}

Status Renderer::Assign(const Expr& target, Value value) {
  if (target.kind == ExprKind::kName) {
    Slot(target.slot) = std::move(value);
    return OkStatus();
  }
  if (target.kind == ExprKind::kTuple) return AssignTuple(target, value);
  const Value& object = Slot(target.slot);
  if (!object.is(Type::kNamespace)) return Fail("cannot assign attribute on non-namespace object");
  ASSIGN_OR_RETURN(Value name, heap_.String(target.attribute));
  return heap_.SetItem(object.as<NamespaceObject>().attributes, std::move(name), std::move(value));
}

Status Renderer::AssignTuple(const Expr& target, const Value& value) {
  if (!Iterable(value)) {
    return Fail("cannot unpack non-iterable " + std::string(TypeName(value)) + " object");
  }
  ASSIGN_OR_RETURN(const auto next, Iterate(heap_, value));
  std::vector<Value> parts;
  for (size_t i = 0; i <= target.kids.size(); ++i) {
    ASSIGN_OR_RETURN(Value part, next());
    if (part.missing()) break;
    parts.push_back(std::move(part));
  }
  if (parts.size() != target.kids.size()) {
    const bool more = parts.size() > target.kids.size();
    return Fail(
        (more ? "too many values to unpack (expected " : "not enough values to unpack (expected ") +
        std::to_string(target.kids.size()) +
        (more ? ")" : ", got " + std::to_string(parts.size()) + ")"));
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    RETURN_IF_ERROR(Assign(*target.kids[i], std::move(parts[i])));
  }
  return OkStatus();
}

Result<Renderer::Flow> Renderer::RunFor(const Stmt& loop) {
  ASSIGN_OR_RETURN(const Value iterable, Eval(*loop.value));
  if (!loop.recursive) return RunLoop(loop, iterable, 0, scope_);
  ASSIGN_OR_RETURN(const Value text, RunRecursively(loop, iterable, 0, scope_));
  RETURN_IF_ERROR(Print(text));
  return Flow::kNext;
}

Result<Value> Renderer::RunRecursively(const Stmt& loop, const Value& iterable, int depth0,
                                       Value outside) {
  ASSIGN_OR_RETURN(Value scope, heap_.Make<ScopeObject>(loop.slot_count, outside));
  const ScopeSwitch scope_switch(*this, std::move(scope));
  OutputSwitch output(*this);
  ASSIGN_OR_RETURN([[maybe_unused]] const Flow flow, RunLoop(loop, iterable, depth0, outside));
  return heap_.String(output.Take());
}

// The items that the loop's own condition lets through, tested when they are asked for.
IteratorObject::Source Renderer::FilteredBy(const Stmt& loop, IteratorObject::Source source) {
  return [this, &loop, source = std::move(source), scope = scope_]() -> Result<Value> {
    const ScopeSwitch scope_switch(*this, scope);
    while (true) {
      ASSIGN_OR_RETURN(Value item, source());
      if (item.missing()) return item;
      Enter(loop.test_entry);
      RETURN_IF_ERROR(Assign(*loop.test_target, item));
      ASSIGN_OR_RETURN(const Value passes, Eval(*loop.test));
      if (Truthy(passes)) return item;
    }
  };
}

Result<Renderer::Flow> Renderer::RunLoop(const Stmt& loop, const Value& iterable, int depth0,
                                         Value outside) {
  ASSIGN_OR_RETURN(auto source, Iterate(heap_, iterable));
  ASSIGN_OR_RETURN(const Value state_value, heap_.Make<LoopObject>());
  auto& state = state_value.as<LoopObject>();
  state.iterable = iterable;
  state.depth0 = depth0;
  state.scope = std::move(outside);
  if (loop.recursive) state.recursive = &loop;
  if (loop.test) {
    source = FilteredBy(loop, std::move(source));
    ASSIGN_OR_RETURN(state.iterable, heap_.Iterator(source));
  }
  ASSIGN_OR_RETURN(state.iterator, heap_.Iterator(std::move(source)));
  bool finished_one = false;
  ASSIGN_OR_RETURN(const Flow flow, RunIterations(loop, state, state_value, finished_one));
  if (flow != Flow::kNext) return flow;
  // As in Jinja2, an iteration left by `break` or `continue` does not count as one.
  if (finished_one || loop.else_body.empty()) return Flow::kNext;
  Enter(loop.else_entry);
  return Run(loop.else_body);
}

Result<Renderer::Flow> Renderer::RunIterations(const Stmt& loop, LoopObject& state,
                                               const Value& state_value, bool& finished_one) {
  while (true) {
    ASSIGN_OR_RETURN(const bool advanced, Advance(state));
    if (!advanced) return Flow::kNext;
    Enter(loop.entry);
    if (loop.loop_slot) Slot(*loop.loop_slot) = state_value;
    RETURN_IF_ERROR(Assign(*loop.target, state.current));
    ASSIGN_OR_RETURN(const Flow flow, Run(loop.body));
    if (flow == Flow::kBreak) return Flow::kNext;
    if (flow == Flow::kNext) finished_one = true;
  }
}

Result<bool> Renderer::Advance(LoopObject& loop) {
  RETURN_IF_ERROR(Peek(loop));
  if (loop.peeked.missing()) return false;
  ++loop.index0;
  loop.previous_item = std::move(loop.current);
  loop.current = std::exchange(loop.peeked, Value());
  return true;
}

Status Renderer::Peek(LoopObject& loop) {
  if (!loop.peeked.missing() || loop.exhausted) return OkStatus();
  if (!heap_.Spend(1)) return heap_.Exhausted();
  const Value iterator = loop.iterator;
  ASSIGN_OR_RETURN(loop.peeked, iterator.as<IteratorObject>().next());
  loop.exhausted = loop.peeked.missing();
  return OkStatus();
}

Result<Int> Renderer::LoopLength(LoopObject& loop) {
  if (loop.length) return *loop.length;
  if (!loop.iterable.is(Type::kIterator)) {
    ASSIGN_OR_RETURN(loop.length, Length(loop.iterable));
    return *loop.length;
  }
  // What is left is read to be counted.
  ASSIGN_OR_RETURN(std::vector<Value> rest, ToVector(heap_, loop.iterator));
  const Int left = static_cast<Int>(rest.size());
  ASSIGN_OR_RETURN(const Value list, heap_.List(std::move(rest)));
  ASSIGN_OR_RETURN(auto source, Iterate(heap_, list));
  ASSIGN_OR_RETURN(loop.iterator, heap_.Iterator(std::move(source)));
  loop.length = left + loop.index0 + 1 + (loop.peeked.missing() ? 0 : 1);
  return *loop.length;
}

Result<Renderer::Flow> Renderer::RunCapture(const Stmt& statement) {
  Enter(statement.entry);
  OutputSwitch output(*this);
  ASSIGN_OR_RETURN(const Flow flow, Run(statement.body));
  if (flow != Flow::kNext) return flow;
  ASSIGN_OR_RETURN(Value text, heap_.String(output.Take()));
  if (statement.value) {
    const Value before = std::exchange(block_text_, text);
    auto filtered = Eval(*statement.value);
    block_text_ = before;
    ASSIGN_OR_RETURN(text, std::move(filtered));
  }
  if (statement.kind == StmtKind::kSetBlock) {
    RETURN_IF_ERROR(Assign(*statement.target, std::move(text)));
    return Flow::kNext;
  }
  output.Restore();
  RETURN_IF_ERROR(Print(text));
  return Flow::kNext;
}

Result<Renderer::Flow> Renderer::RunWith(const Stmt& statement) {
  Enter(statement.entry);
  for (size_t i = 0; i < statement.targets.size(); ++i) {
    ASSIGN_OR_RETURN(Value value, Eval(*statement.values[i]));
    RETURN_IF_ERROR(Assign(*statement.targets[i], std::move(value)));
  }
  return Run(statement.body);
}

Status Renderer::RunCallBlock(const Stmt& statement) {
  ASSIGN_OR_RETURN(const Value caller, heap_.Make<MacroObject>(statement, scope_));
  ASSIGN_OR_RETURN(const Value text, EvalCall(*statement.value, caller));
  return Print(text);
}

Result<Value> Renderer::CallMacro(const MacroObject& macro, CallArguments& arguments) {
  const Stmt& definition = macro.definition;
  ASSIGN_OR_RETURN(Value scope, heap_.Make<ScopeObject>(definition.slot_count, macro.scope));
  const ScopeSwitch scope_switch(*this, std::move(scope));
  OutputSwitch output(*this);
  Enter(definition.entry);
  RETURN_IF_ERROR(BindParameters(definition, arguments));
  ASSIGN_OR_RETURN([[maybe_unused]] const Flow flow, Run(definition.body));
  return heap_.String(output.Take());
}

Status Renderer::BindParameters(const Stmt& macro, CallArguments& arguments) {
  const size_t count = macro.parameters.size();
  for (size_t i = 0; i < count; ++i) {
    Value& slot = Slot(macro.parameters[i]->slot);
    slot = Value();
    if (i < arguments.positional.size()) {
      slot = arguments.positional[i];
      continue;
    }
    for (auto named = arguments.named.begin(); named != arguments.named.end(); ++named) {
      if (named->first != macro.parameters[i]->name) continue;
      slot = std::move(named->second);
      arguments.named.erase(named);
      break;
    }
  }
  RETURN_IF_ERROR(BindSpecial(macro, arguments));
  const size_t required = count - macro.defaults.size();
  for (size_t i = 0; i < count; ++i) {
    if (!Slot(macro.parameters[i]->slot).missing()) continue;
    auto value =
        i >= required
            ? Eval(*macro.defaults[i - required])
            : heap_.Undefined("parameter '" + macro.parameters[i]->name + "' was not provided");
    ASSIGN_OR_RETURN(Slot(macro.parameters[i]->slot), std::move(value));
  }
  return OkStatus();
}

// What a macro gets beyond its parameters: caller, kwargs and varargs.
Status Renderer::BindSpecial(const Stmt& macro, CallArguments& arguments) {
  const size_t count = macro.parameters.size();
  if (macro.caller_slot) {
    Value caller;
    for (auto named = arguments.named.begin(); named != arguments.named.end(); ++named) {
      if (named->first != "caller") continue;
      caller = std::move(named->second);
      arguments.named.erase(named);
      break;
    }
    if (caller.missing() || caller.none()) {
      ASSIGN_OR_RETURN(caller, heap_.Undefined("No caller defined"));
    }
    Slot(*macro.caller_slot) = std::move(caller);
  }
  if (macro.kwargs_slot) {
    ASSIGN_OR_RETURN(Value dict, heap_.EmptyDict());
    for (auto& [name, value] : arguments.named) {
      ASSIGN_OR_RETURN(Value key, heap_.String(name));
      RETURN_IF_ERROR(heap_.SetItem(dict, std::move(key), std::move(value)));
    }
    Slot(*macro.kwargs_slot) = std::move(dict);
  } else if (!arguments.named.empty()) {
    return Fail("macro '" + macro.name + "' takes no keyword argument '" +
                arguments.named[0].first + "'");
  }
  if (macro.varargs_slot) {
    std::vector<Value> rest;
    for (size_t i = count; i < arguments.positional.size(); ++i) {
      rest.push_back(arguments.positional[i]);
    }
    ASSIGN_OR_RETURN(Slot(*macro.varargs_slot), heap_.Tuple(std::move(rest)));
  } else if (arguments.positional.size() > count) {
    return Fail("macro '" + macro.name + "' takes not more than " + std::to_string(count) +
                " argument(s)");
  }
  return OkStatus();
}

}  // namespace shoal::jinja
