// The tree of a parsed template. Immutable after Parse, so that several renderings may share it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/text/jinja_ops.h"
#include "model/text/jinja_value.h"

namespace shoal::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

// A filter or test, found by its name when the template is parsed; null where there is none.
using FilterBody = Result<Value> (*)(Renderer& renderer, const Value& subject,
                                     CallArguments& arguments);

// A variable: the slot in the scope object that many levels out.
struct SlotRef {
  int hops = 0;
  size_t index = 0;
};

struct Arguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star;       // *args
  ExprPtr star_star;  // **kwargs
};

enum class ExprKind {
  kConstant,       // `constant`
  kName,           // `name` at `slot`
  kNamespaceItem,  // target of an assignment: `attribute` of the variable `name`
  kTuple,          // kids
  kList,           // kids
  kDict,           // kids: key, value, key, value...
  kNegate,         // kids[0]; likewise kPlus, kNot
  kPlus,
  kNot,
  kAnd,  // kids[0], kids[1]; likewise kOr
  kOr,
  kBinary,       // kids[0] `binary_op` kids[1]
  kConcat,       // kids
  kCompare,      // kids[0] compare_ops[0] kids[1] compare_ops[1] kids[2]...
  kConditional,  // kids: test, then, otherwise (null where there is none)
  kAttribute,    // kids[0].name
  kItem,         // kids[0][kids[1]]
  kSlice,        // kids[0][kids[1]:kids[2]:kids[3]], null where not given
  kCall,         // kids[0](arguments)
  kFilter,       // kids[0] | name(arguments); kids[0] is null at the start of a filter block
  kTest,         // kids[0] is name(arguments)
};

// A literal. Values belong to a rendering, so this is what one is made of.
struct Constant {
  Type type = Type::kNone;
  bool boolean = false;
  Int integer = 0;
  double number = 0;
  std::string text;
  size_t index = 0;  // among the template's string constants
};

struct Expr {
  ExprKind kind = ExprKind::kConstant;
  int line = 0;
  int depth = 1;  // of the tree below, this node included
  std::string name;
  std::string attribute;
  std::vector<ExprPtr> kids;
  std::optional<Constant> constant;
  std::unique_ptr<Arguments> arguments;
  BinaryOp binary_op = BinaryOp::kAdd;
  std::vector<CompareOp> compare_ops;
  SlotRef slot;
  FilterBody body = nullptr;  // kFilter, kTest
};

enum class StmtKind {
  kData,         // `text`, as it stands
  kPrint,        // value
  kSet,          // target = value
  kSetBlock,     // target = the text of body, through the filter `value` if there is one
  kIf,           // value, body; else_body (an elif is an if in there)
  kFor,          // for target in value if test: body, else_body
  kMacro,        // name, parameters, defaults, body
  kCallBlock,    // value is the call; parameters, defaults, body are the caller's
  kFilterBlock,  // the text of body through the filter `value`
  kWith,         // names[i] = values[i], then body
  kBlock,        // body in a scope of its own: a `generation` block
  kBreak,
  kContinue,
  kUnsupported,  // what needs a template loader: an error when it is run
};

// What happens to a variable when its scope is entered (scopes: jinja_scope.h).
struct SlotLoad {
  enum class Action { kUnset, kContext, kCopy };
  size_t slot = 0;
  Action action = Action::kUnset;
  std::string name;  // kContext: the context's variable
  SlotRef source;    // kCopy
};
using ScopeEntry = std::vector<SlotLoad>;

struct Stmt;
using StmtPtr = std::unique_ptr<Stmt>;
using Block = std::vector<StmtPtr>;

struct Stmt {
  StmtKind kind = StmtKind::kData;
  int line = 0;
  std::string text;
  std::string name;
  ExprPtr target;
  ExprPtr value;
  ExprPtr test;         // kFor
  ExprPtr test_target;  // kFor with a test: the target, in the scope of the test
  bool recursive = false;
  std::vector<ExprPtr> parameters;  // names
  std::vector<ExprPtr> defaults;    // of the last parameters
  std::vector<ExprPtr> targets;     // kWith
  std::vector<ExprPtr> values;
  Block body;
  Block else_body;

  // Filled in by ResolveNames:
  unsigned body_mentions = 0;  // which special names the body mentions
  SlotRef slot;                // kMacro: the variable that holds it
  ScopeEntry entry;
  ScopeEntry test_entry;
  ScopeEntry else_entry;
  // kMacro, kCallBlock, recursive kFor: a scope object of its own, with so many slots.
  size_t slot_count = 0;
  std::optional<SlotRef> loop_slot;    // kFor: where the body uses `loop`
  std::optional<SlotRef> caller_slot;  // kMacro: where the body uses these
  std::optional<SlotRef> kwargs_slot;
  std::optional<SlotRef> varargs_slot;
};

struct TemplateTree {
  Block body;
  ScopeEntry entry;
  size_t slot_count = 0;
  size_t string_constants = 0;
};

}  // namespace shoal::jinja
