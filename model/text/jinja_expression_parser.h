// The half of the parser that reads expressions; operator precedence is Jinja2's.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "model/text/jinja_ast.h"
#include "model/text/jinja_token_stream.h"

namespace shoal::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  // One expression; `conditional` allows `a if b else c` at its top.
  Result<ExprPtr> Expression(bool conditional = true);
  // Expressions between commas are a tuple.
  Result<ExprPtr> Tuple(bool conditional = true);
  // What can stand left of `=`: names, tuples of names and, where asked for, `namespace.attribute`.
  Result<ExprPtr> Target(bool with_namespace);
  Result<ExprPtr> TargetName();
  // `| name(...) | name...` on a subject, which is null at the start of a filter block.
  Result<ExprPtr> FilterChain(ExprPtr subject, bool starts_inline);

  // Sets the depth of a node whose kids are complete; fails beyond the limit.
  Result<ExprPtr> Finish(ExprPtr node) const;
  ExprPtr NewExpr(ExprKind kind) const;
  size_t string_constants() const { return string_constants_; }

 private:
  class Level;

  Result<ExprPtr> Or();
  Result<ExprPtr> And();
  Result<ExprPtr> Not();
  Result<ExprPtr> Comparison();
  std::optional<CompareOp> TakeCompareOp();
  Result<ExprPtr> Sum();
  Result<ExprPtr> Concat();
  Result<ExprPtr> Product();
  Result<ExprPtr> Power();
  Result<ExprPtr> Unary(bool with_filters);
  Result<ExprPtr> Primary(bool with_namespace);
  Result<ExprPtr> NameOrLiteral(bool with_namespace);
  Result<ExprPtr> StringLiteral();
  Result<ExprPtr> ListOrDict(bool dict);
  Result<ExprPtr> TupleOf(bool targets, bool conditional, bool with_namespace, bool parenthesized);
  Result<ExprPtr> Postfix(ExprPtr node);
  Result<ExprPtr> FilterExpression(ExprPtr node);
  Result<ExprPtr> SubscriptOf(ExprPtr node);
  Result<ExprPtr> Subscripted(ExprPtr object);
  Result<ExprPtr> Call(ExprPtr node);
  Result<ExprPtr> Test(ExprPtr node);
  Result<std::unique_ptr<Arguments>> CallArgumentList();
  Status OneArgument(Arguments& arguments);
  Result<ExprPtr> BinaryNode(ExprKind kind, BinaryOp op, int line, ExprPtr left,
                             ExprPtr right) const;

  TokenStream& tokens_;
  int level_ = 0;  // of recursion
  size_t string_constants_ = 0;
};

}  // namespace shoal::jinja
