#include "model/text/jinja_scope.h"

#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace shoal::jinja {
namespace {

// Names that a loop or macro defines only for a body that mentions them, as bits.
enum Mention : unsigned {
  kLoop = 1,
  kCaller = 2,
  kKwargs = 4,
  kVarargs = 8,
  kLoopAssigned = 16,
};

unsigned MentionOf(std::string_view name) {
  if (name == "loop") return kLoop;
  if (name == "caller") return kCaller;
  if (name == "kwargs") return kKwargs;
  if (name == "varargs") return kVarargs;
  return 0;
}

template <typename Visit>
void ForEachArgument(const Arguments& arguments, Visit visit) {
  for (const ExprPtr& value : arguments.positional) visit(*value);
  for (const auto& [name, value] : arguments.named) visit(*value);
  if (arguments.star) visit(*arguments.star);
  if (arguments.star_star) visit(*arguments.star_star);
}

template <typename Visit>
void ForEachKid(const Expr& expr, Visit visit) {
  for (const ExprPtr& kid : expr.kids) {
    if (kid) visit(*kid);
  }
  if (expr.arguments) ForEachArgument(*expr.arguments, visit);
}

unsigned Mentions(const Expr& expr) {
  unsigned found = expr.kind == ExprKind::kName ? MentionOf(expr.name) : 0;
  ForEachKid(expr, [&found](const Expr& kid) { found |= Mentions(kid); });
  return found;
}

unsigned Assigns(const Expr& target) {
  if (target.kind == ExprKind::kName) return target.name == "loop" ? kLoopAssigned : 0u;
  unsigned found = 0;
  ForEachKid(target, [&found](const Expr& kid) { found |= Assigns(kid); });
  return found;
}

unsigned FillMentions(Block& block) {
  unsigned found = 0;
  for (StmtPtr& statement : block) {
    unsigned mentions = 0;
    for (const Expr* expr : {statement->value.get(), statement->test.get()}) {
      if (expr != nullptr) mentions |= Mentions(*expr);
    }
    for (const auto* list : {&statement->defaults, &statement->values}) {
      for (const ExprPtr& expr : *list) mentions |= Mentions(*expr);
    }
    if (statement->target) mentions |= Assigns(*statement->target);
    statement->body_mentions = FillMentions(statement->body);
    mentions |= statement->body_mentions | FillMentions(statement->else_body);
    found |= mentions;
  }
  return found;
}

struct Function {
  int level = 0;
  size_t slot_count = 0;
};

// How a scope's own variable starts.
enum class Load { kParameter, kContext, kCopy, kUnset };

struct Frame {
  Frame(Frame* outer, Function* of) : parent(outer), function(of) {}

  // The nearest scope that has the name as its own; null where the context is asked.
  Frame* Find(std::string_view name) {
    for (Frame* frame = this; frame != nullptr; frame = frame->parent) {
      if (frame->own.find(name) != frame->own.end()) return frame;
    }
    return nullptr;
  }
  Frame* FindOutside(std::string_view name) {
    return parent != nullptr ? parent->Find(name) : nullptr;
  }
  size_t Slot(const std::string& name) {
    const auto [at, added] = slots.emplace(name, function->slot_count);
    if (added) ++function->slot_count;
    return at->second;
  }

  Frame* const parent;
  Function* const function;
  std::map<std::string, Load, std::less<>> own;
  std::map<std::string, size_t> slots;
};

// Collects what a scope reads and assigns, in the order of the source; stops at inner scopes.
class Analyzer {
 public:
  explicit Analyzer(Frame& frame) : frame_(frame) {}

  void Parameter(const std::string& name) { frame_.own[name] = Load::kParameter; }

  void Parameters(const Expr& target) {
    if (target.kind == ExprKind::kName) Parameter(target.name);
    ForEachKid(target, [this](const Expr& kid) { Parameters(kid); });
  }

  void Read(const Expr& expr) {
    if (expr.kind == ExprKind::kName || expr.kind == ExprKind::kNamespaceItem) {
      if (frame_.Find(expr.name) == nullptr) frame_.own[expr.name] = Load::kContext;
    }
    ForEachKid(expr, [this](const Expr& kid) { Read(kid); });
  }

  void Assign(const Expr& target) {
    if (target.kind == ExprKind::kName) {
      Store(target.name);
    } else if (target.kind == ExprKind::kNamespaceItem) {
      Read(target);
    } else {
      ForEachKid(target, [this](const Expr& kid) { Assign(kid); });
    }
  }

  void Statements(const Block& block) {
    for (const StmtPtr& statement : block) Statement(*statement);
  }

 private:
  void Store(const std::string& name) {
    if (frame_.own.find(name) != frame_.own.end()) return;
    // A name that only a branch assigns may still be read as the context has it.
    frame_.own[name] = frame_.FindOutside(name) != nullptr ? Load::kCopy
                       : branches_ > 0                     ? Load::kContext
                                                           : Load::kUnset;
  }

  void Statement(const Stmt& statement) {
    switch (statement.kind) {
      case StmtKind::kIf:
        Read(*statement.value);
        ++branches_;
        Statements(statement.body);
        Statements(statement.else_body);
        --branches_;
        break;
      case StmtKind::kMacro: Store(statement.name); break;
      case StmtKind::kWith:
        for (const ExprPtr& value : statement.values) Read(*value);
        break;
      default:
        if (statement.value) Read(*statement.value);
        if (statement.kind == StmtKind::kSet || statement.kind == StmtKind::kSetBlock) {
          Assign(*statement.target);
        }
    }
  }

  Frame& frame_;
  int branches_ = 0;  // of conditions around the current statement
};

// Gives every name its slot, scope by scope.
class Resolver {
 public:
  Status Root(TemplateTree& tree) {
    FillMentions(tree.body);
    Function function;
    Frame frame(nullptr, &function);
    Analyzer(frame).Statements(tree.body);
    RETURN_IF_ERROR(Statements(tree.body, frame, false));
    tree.entry = Entry(frame);
    tree.slot_count = function.slot_count;
    return OkStatus();
  }

 private:
  static Error Refuse(int line, const std::string& message) {
    return InvalidArgument("line " + std::to_string(line) + ": " + message);
  }

  static SlotRef Reference(Frame& from, Frame& owner, const std::string& name) {
    return {from.function->level - owner.function->level, owner.Slot(name)};
  }

  static ScopeEntry Entry(Frame& frame) {
    ScopeEntry entry;
    for (const auto& [name, load] : frame.own) {
      if (load == Load::kParameter) continue;
      SlotLoad action;
      action.slot = frame.Slot(name);
      if (load == Load::kContext) {
        action.action = SlotLoad::Action::kContext;
        action.name = name;
      } else if (load == Load::kCopy) {
        action.action = SlotLoad::Action::kCopy;
        action.source = Reference(frame, *frame.FindOutside(name), name);
      }
      entry.push_back(std::move(action));
    }
    return entry;
  }

  // Names in an expression; `soft` within a condition, where Jinja2 lets unknown filters pass until
  // they are used.
  Status Names(Expr& expr, Frame& frame, bool soft) {
    if (expr.kind == ExprKind::kName || expr.kind == ExprKind::kNamespaceItem) {
      Frame* owner = frame.Find(expr.name);
      CHECK(owner != nullptr, "a name that the analysis has not seen: " + expr.name);
      expr.slot = Reference(frame, *owner, expr.name);
    }
    const bool named = expr.kind == ExprKind::kFilter || expr.kind == ExprKind::kTest;
    if (named && expr.body == nullptr && !soft) {
      return Refuse(expr.line, std::string("No ") +
                                   (expr.kind == ExprKind::kFilter ? "filter" : "test") +
                                   " named '" + expr.name + "'.");
    }
    soft = soft || expr.kind == ExprKind::kConditional;
    Status status;
    const auto visit = [&](const Expr& kid) {
      if (status.ok()) status = Names(const_cast<Expr&>(kid), frame, soft);
    };
    ForEachKid(expr, visit);
    return status;
  }

  Status Names(std::vector<ExprPtr>& list, Frame& frame, bool soft) {
    for (ExprPtr& expr : list) RETURN_IF_ERROR(Names(*expr, frame, soft));
    return OkStatus();
  }

  Status Statements(Block& block, Frame& frame, bool soft) {
    for (StmtPtr& statement : block) RETURN_IF_ERROR(Statement(*statement, frame, soft));
    return OkStatus();
  }

  Status Statement(Stmt& statement, Frame& frame, bool soft) {
    switch (statement.kind) {
      case StmtKind::kIf:
        RETURN_IF_ERROR(Names(*statement.value, frame, true));
        RETURN_IF_ERROR(Statements(statement.body, frame, true));
        return Statements(statement.else_body, frame, true);
      case StmtKind::kFor: return For(statement, frame, soft);
      case StmtKind::kMacro:
        statement.slot = Reference(frame, *frame.Find(statement.name), statement.name);
        return FunctionBody(statement, frame);
      case StmtKind::kCallBlock:
        RETURN_IF_ERROR(Names(*statement.value, frame, soft));
        return FunctionBody(statement, frame);
      case StmtKind::kSetBlock:
        RETURN_IF_ERROR(Names(*statement.target, frame, soft));
        return CapturedBody(statement, frame, statement.value.get());
      case StmtKind::kFilterBlock: return CapturedBody(statement, frame, statement.value.get());
      case StmtKind::kBlock: return CapturedBody(statement, frame, nullptr);
      case StmtKind::kWith: {
        RETURN_IF_ERROR(Names(statement.values, frame, soft));
        Frame inner(&frame, frame.function);
        Analyzer analyzer(inner);
        for (const ExprPtr& target : statement.targets) analyzer.Parameters(*target);
        analyzer.Statements(statement.body);
        RETURN_IF_ERROR(Names(statement.targets, inner, false));
        RETURN_IF_ERROR(Statements(statement.body, inner, false));
        statement.entry = Entry(inner);
        return OkStatus();
      }
      default:
        if (statement.target) RETURN_IF_ERROR(Names(*statement.target, frame, soft));
        if (statement.value) return Names(*statement.value, frame, soft);
        return OkStatus();
    }
  }

  Status CapturedBody(Stmt& statement, Frame& frame, Expr* filter) {
    Frame inner(&frame, frame.function);
    Analyzer analyzer(inner);
    analyzer.Statements(statement.body);
    if (filter != nullptr) analyzer.Read(*filter);
    RETURN_IF_ERROR(Statements(statement.body, inner, false));
    if (filter != nullptr) RETURN_IF_ERROR(Names(*filter, inner, false));
    statement.entry = Entry(inner);
    return OkStatus();
  }

  Status For(Stmt& loop, Frame& frame, bool soft) {
    RETURN_IF_ERROR(Names(*loop.value, frame, soft));
    if (((loop.body_mentions | Assigns(*loop.target)) & kLoopAssigned) != 0) {
      return Refuse(loop.line, "Can't assign to special loop variable in for-loop target");
    }
    Function own;
    own.level = frame.function->level + 1;
    Function* function = loop.recursive ? &own : frame.function;
    Frame body(&frame, function);
    Analyzer analyzer(body);
    const bool uses_loop = loop.recursive || (loop.body_mentions & kLoop) != 0;
    if (uses_loop) analyzer.Parameter("loop");
    analyzer.Parameters(*loop.target);
    analyzer.Statements(loop.body);
    if (uses_loop) loop.loop_slot = Reference(body, body, "loop");
    RETURN_IF_ERROR(Names(*loop.target, body, false));
    RETURN_IF_ERROR(Statements(loop.body, body, false));
    loop.entry = Entry(body);
    if (loop.test) {
      Frame test(&frame, function);
      Analyzer test_analyzer(test);
      test_analyzer.Parameters(*loop.target);
      test_analyzer.Read(*loop.test);
      loop.test_target = CloneTarget(*loop.target);
      RETURN_IF_ERROR(Names(*loop.test_target, test, false));
      RETURN_IF_ERROR(Names(*loop.test, test, false));
      loop.test_entry = Entry(test);
    }
    Frame otherwise(&frame, function);
    Analyzer(otherwise).Statements(loop.else_body);
    RETURN_IF_ERROR(Statements(loop.else_body, otherwise, false));
    loop.else_entry = Entry(otherwise);
    loop.slot_count = own.slot_count;
    return OkStatus();
  }

  static ExprPtr CloneTarget(const Expr& target) {
    auto copy = std::make_unique<Expr>();
    copy->kind = target.kind;
    copy->line = target.line;
    copy->name = target.name;
    for (const ExprPtr& kid : target.kids) copy->kids.push_back(CloneTarget(*kid));
    return copy;
  }

  // A macro, or the body of a call block.
  Status FunctionBody(Stmt& macro, Frame& frame) {
    Function function;
    function.level = frame.function->level + 1;
    Frame body(&frame, &function);
    Analyzer analyzer(body);
    for (const ExprPtr& parameter : macro.parameters) analyzer.Parameter(parameter->name);
    for (const ExprPtr& value : macro.defaults) analyzer.Read(*value);
    analyzer.Statements(macro.body);
    const std::pair<unsigned, std::optional<SlotRef>*> kSpecial[] = {
        {kCaller, &macro.caller_slot},
        {kKwargs, &macro.kwargs_slot},
        {kVarargs, &macro.varargs_slot}};
    for (const auto& [mention, slot] : kSpecial) {
      if ((macro.body_mentions & mention) == 0) continue;
      const std::string name = mention == kCaller   ? "caller"
                               : mention == kKwargs ? "kwargs"
                                                    : "varargs";
      const size_t required = macro.parameters.size() - macro.defaults.size();
      bool is_parameter = false;
      for (size_t i = 0; i < macro.parameters.size(); ++i) {
        if (macro.parameters[i]->name != name) continue;
        is_parameter = true;
        if (mention == kCaller && i < required) {
          return Refuse(macro.line,
                        "the special \"caller\" argument must be omitted or be given a "
                        "default");
        }
      }
      if (is_parameter) continue;
      analyzer.Parameter(name);
      *slot = Reference(body, body, name);
    }
    RETURN_IF_ERROR(Names(macro.parameters, body, false));
    RETURN_IF_ERROR(Names(macro.defaults, body, false));
    RETURN_IF_ERROR(Statements(macro.body, body, false));
    macro.entry = Entry(body);
    macro.slot_count = function.slot_count;
    return OkStatus();
  }
};

}  // namespace

Status ResolveNames(TemplateTree& tree) { return Resolver().Root(tree); }

}  // namespace shoal::jinja
