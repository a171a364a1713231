// Renders a parsed template: evaluates its expressions and runs its statements on a heap of its
// own.
//
// Thread rule: one rendering, one thread. The tree and the context outlive it.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/text/chat_template.h"
#include "model/text/jinja_ast.h"
#include "model/text/jinja_heap.h"
#include "model/text/jinja_value.h"

namespace shoal::jinja {

class Renderer {
 public:
  // `context` is a dict of this heap.
  Renderer(Heap& heap, const TemplateTree& tree, Value context, CivilDate today);
  ~Renderer();
  Renderer(const Renderer&) = delete;
  Renderer& operator=(const Renderer&) = delete;

  // Once.
  Result<std::string> Run();

  // For filters, tests, functions and methods:
  Heap& heap() { return heap_; }
  CivilDate today() const { return today_; }
  Result<Value> Call(const Value& callee, CallArguments& arguments);
  // `object.name` and `object[key]` as templates have them: undefined where there is nothing.
  Result<Value> GetAttribute(const Value& object, std::string_view name);
  Result<Value> GetItem(const Value& object, const Value& key);

  // Takes the next item of a loop; false at its end.
  Result<bool> Advance(LoopObject& loop);
  // Makes sure that the loop's next item is known, if there is one.
  Status Peek(LoopObject& loop);
  Result<Int> LoopLength(LoopObject& loop);

 private:
  enum class Flow { kNext, kBreak, kContinue };
  class ScopeSwitch;
  class OutputSwitch;

  // jinja_eval.cc
  Result<Value> Eval(const Expr& expr);
  Result<Value> EvalNested(const Expr& expr);
  Result<Value> EvalConstant(const Expr& expr);
  Result<Value> EvalName(const Expr& expr);
  Result<Value> EvalItems(const Expr& expr);
  Result<Value> EvalDict(const Expr& expr);
  Result<Value> EvalConcat(const Expr& expr);
  Result<Value> EvalCompare(const Expr& expr);
  Result<Value> EvalConditional(const Expr& expr);
  Result<Value> EvalSlice(const Expr& expr);
  Result<Value> EvalCall(const Expr& expr, const Value& caller);
  Result<Value> EvalFilterOrTest(const Expr& expr);
  Result<CallArguments> EvalArguments(const Arguments& arguments);
  // kMissing where the object has no such attribute.
  Result<Value> Attribute(const Value& object, std::string_view name);
  Result<Value> LoopAttribute(const Value& object, std::string_view name);
  Result<Value> NothingAt(const Value& object, const Value& key);
  Value& Slot(const SlotRef& slot);
  Value FromContext(const std::string& name);

  // jinja_exec.cc
  Result<Flow> Run(const Block& block);
  Result<Flow> Run(const Stmt& statement);
  Result<Flow> RunIf(const Stmt& statement);
  Result<Flow> RunFor(const Stmt& loop);
  Result<Flow> RunLoop(const Stmt& loop, const Value& iterable, int depth0, Value outside);
  Result<Flow> RunIterations(const Stmt& loop, LoopObject& state, const Value& state_value,
                             bool& finished_one);
  Result<Value> RunRecursively(const Stmt& loop, const Value& iterable, int depth0, Value outside);
  Result<Flow> RunCapture(const Stmt& statement);
  Result<Flow> RunWith(const Stmt& statement);
  Status RunCallBlock(const Stmt& statement);
  IteratorObject::Source FilteredBy(const Stmt& loop, IteratorObject::Source source);
  Status Assign(const Expr& target, Value value);
  Status AssignTuple(const Expr& target, const Value& value);
  void Enter(const ScopeEntry& entry);
  Status Print(const Value& value);
  Status Append(std::string_view text);
  Result<Value> CallMacro(const MacroObject& macro, CallArguments& arguments);
  Status BindParameters(const Stmt& macro, CallArguments& arguments);
  Status BindSpecial(const Stmt& macro, CallArguments& arguments);

  Heap& heap_;
  const TemplateTree& tree_;
  const Value context_;
  const CivilDate today_;
  std::vector<Value> constants_;  // the string constants met so far
  std::vector<std::pair<std::string_view, Value>> globals_;
  Value scope_;           // the running ScopeObject
  std::string* out_;      // where text goes
  size_t out_bytes_ = 0;  // of all texts that are being written, one inside of the other
  std::string result_;
  Value block_text_;  // what a filter block's filter applies to
};

}  // namespace shoal::jinja
