#include "model/text/jinja_expression_parser.h"

#include <algorithm>
#include <utility>

#include "model/text/chat_template.h"
#include "model/text/jinja_filters.h"

namespace shoal::jinja {

// One level of brackets or prefix operators, so that hostile nesting ends before the stack does.
class ExpressionParser::Level {
 public:
  explicit Level(ExpressionParser& parser) : parser_(parser) { ++parser_.level_; }
  ~Level() { --parser_.level_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;
  Status Check() const {
    if (parser_.level_ <= TemplateLimits::kMaxNesting) return OkStatus();
    return parser_.tokens_.Fail("an expression nested deeper than " +
                                std::to_string(TemplateLimits::kMaxNesting));
  }

 private:
  ExpressionParser& parser_;
};

ExprPtr ExpressionParser::NewExpr(ExprKind kind) const {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->line = tokens_.line();
  return node;
}

Result<ExprPtr> ExpressionParser::Finish(ExprPtr node) const {
  int depth = 0;
  const auto include = [&depth](const ExprPtr& kid) {
    if (kid) depth = std::max(depth, kid->depth);
  };
  for (const ExprPtr& kid : node->kids) include(kid);
  if (node->arguments) {
    for (const ExprPtr& kid : node->arguments->positional) include(kid);
    for (const auto& [name, kid] : node->arguments->named) include(kid);
    include(node->arguments->star);
    include(node->arguments->star_star);
  }
  node->depth = depth + 1;
  if (node->depth > TemplateLimits::kMaxNesting) {
    return tokens_.Fail("an expression nested deeper than " +
                        std::to_string(TemplateLimits::kMaxNesting));
  }
  return node;
}

Result<ExprPtr> ExpressionParser::BinaryNode(ExprKind kind, BinaryOp op, int line, ExprPtr left,
                                             ExprPtr right) const {
  ExprPtr node = NewExpr(kind);
  node->line = line;
  node->binary_op = op;
  node->kids.push_back(std::move(left));
  node->kids.push_back(std::move(right));
  return Finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::Expression(bool conditional) {
  const Level level(*this);
  RETURN_IF_ERROR(level.Check());
  ASSIGN_OR_RETURN(ExprPtr value, Or());
  while (conditional && tokens_.SkipName("if")) {
    ExprPtr node = NewExpr(ExprKind::kConditional);
    ASSIGN_OR_RETURN(ExprPtr test, Or());
    ExprPtr otherwise;
    if (tokens_.SkipName("else")) {
      ASSIGN_OR_RETURN(otherwise, Expression());
    }
    node->kids.push_back(std::move(test));
    node->kids.push_back(std::move(value));
    node->kids.push_back(std::move(otherwise));
    ASSIGN_OR_RETURN(value, Finish(std::move(node)));
  }
  return value;
}

Result<ExprPtr> ExpressionParser::Or() {
  const int line = tokens_.line();
  ASSIGN_OR_RETURN(ExprPtr left, And());
  while (tokens_.SkipName("or")) {
    ASSIGN_OR_RETURN(ExprPtr right, And());
    ASSIGN_OR_RETURN(left, BinaryNode(ExprKind::kOr, {}, line, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::And() {
  const int line = tokens_.line();
  ASSIGN_OR_RETURN(ExprPtr left, Not());
  while (tokens_.SkipName("and")) {
    ASSIGN_OR_RETURN(ExprPtr right, Not());
    ASSIGN_OR_RETURN(left, BinaryNode(ExprKind::kAnd, {}, line, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::Not() {
  if (!tokens_.at_name("not")) return Comparison();
  const Level level(*this);
  RETURN_IF_ERROR(level.Check());
  ExprPtr node = NewExpr(ExprKind::kNot);
  tokens_.Skip();
  ASSIGN_OR_RETURN(ExprPtr operand, Not());
  node->kids.push_back(std::move(operand));
  return Finish(std::move(node));
}

std::optional<CompareOp> ExpressionParser::TakeCompareOp() {
  static constexpr std::pair<std::string_view, CompareOp> kOperators[] = {
      {"==", CompareOp::kEqual},  {"!=", CompareOp::kNotEqual},
      {"<", CompareOp::kLess},    {"<=", CompareOp::kLessEqual},
      {">", CompareOp::kGreater}, {">=", CompareOp::kGreaterEqual}};
  for (const auto& [text, op] : kOperators) {
    if (tokens_.SkipOperator(text)) return op;
  }
  if (tokens_.SkipName("in")) return CompareOp::kIn;
  if (tokens_.at_name("not") && tokens_.ahead_is_name("in")) {
    tokens_.Skip();
    tokens_.Skip();
    return CompareOp::kNotIn;
  }
  return std::nullopt;
}

Result<ExprPtr> ExpressionParser::Comparison() {
  ExprPtr node = NewExpr(ExprKind::kCompare);
  ASSIGN_OR_RETURN(ExprPtr first, Sum());
  node->kids.push_back(std::move(first));
  while (const auto op = TakeCompareOp()) {
    node->compare_ops.push_back(*op);
    ASSIGN_OR_RETURN(ExprPtr operand, Sum());
    node->kids.push_back(std::move(operand));
  }
  if (node->compare_ops.empty()) return std::move(node->kids[0]);
  return Finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::Sum() {
  const int line = tokens_.line();
  ASSIGN_OR_RETURN(ExprPtr left, Concat());
  while (tokens_.at_operator("+") || tokens_.at_operator("-")) {
    const BinaryOp op = tokens_.at_operator("+") ? BinaryOp::kAdd : BinaryOp::kSubtract;
    tokens_.Skip();
    ASSIGN_OR_RETURN(ExprPtr right, Concat());
    ASSIGN_OR_RETURN(left,
                     BinaryNode(ExprKind::kBinary, op, line, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::Concat() {
  ExprPtr node = NewExpr(ExprKind::kConcat);
  do {
    ASSIGN_OR_RETURN(ExprPtr part, Product());
    node->kids.push_back(std::move(part));
  } while (tokens_.SkipOperator("~"));
  if (node->kids.size() == 1) return std::move(node->kids[0]);
  return Finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::Product() {
  static constexpr std::pair<std::string_view, BinaryOp> kOperators[] = {
      {"*", BinaryOp::kMultiply},
      {"/", BinaryOp::kDivide},
      {"//", BinaryOp::kFloorDivide},
      {"%", BinaryOp::kModulo}};
  const int line = tokens_.line();
  ASSIGN_OR_RETURN(ExprPtr left, Power());
  while (true) {
    const auto* found =
        std::find_if(std::begin(kOperators), std::end(kOperators),
                     [this](const auto& o) { return tokens_.at_operator(o.first); });
    if (found == std::end(kOperators)) return left;
    tokens_.Skip();
    ASSIGN_OR_RETURN(ExprPtr right, Power());
    ASSIGN_OR_RETURN(left, BinaryNode(ExprKind::kBinary, found->second, line, std::move(left),
                                      std::move(right)));
  }
}

// Left-associative, unlike Python's.
Result<ExprPtr> ExpressionParser::Power() {
  const int line = tokens_.line();
  ASSIGN_OR_RETURN(ExprPtr left, Unary(true));
  while (tokens_.SkipOperator("**")) {
    ASSIGN_OR_RETURN(ExprPtr right, Unary(true));
    ASSIGN_OR_RETURN(left, BinaryNode(ExprKind::kBinary, BinaryOp::kPower, line, std::move(left),
                                      std::move(right)));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::Unary(bool with_filters) {
  const Level level(*this);
  RETURN_IF_ERROR(level.Check());
  ExprPtr node;
  if (tokens_.at_operator("-") || tokens_.at_operator("+")) {
    node = NewExpr(tokens_.at_operator("-") ? ExprKind::kNegate : ExprKind::kPlus);
    tokens_.Skip();
    ASSIGN_OR_RETURN(ExprPtr operand, Unary(false));
    node->kids.push_back(std::move(operand));
    ASSIGN_OR_RETURN(node, Finish(std::move(node)));
  } else {
    ASSIGN_OR_RETURN(node, Primary(false));
  }
  ASSIGN_OR_RETURN(node, Postfix(std::move(node)));
  if (!with_filters) return node;
  return FilterExpression(std::move(node));
}

Result<ExprPtr> ExpressionParser::Primary(bool with_namespace) {
  switch (tokens_.current().kind) {
    case TokenKind::kName: return NameOrLiteral(with_namespace);
    case TokenKind::kString: return StringLiteral();
    case TokenKind::kInteger:
    case TokenKind::kFloat: {
      ExprPtr node = NewExpr(ExprKind::kConstant);
      node->constant.emplace();
      const bool integer = tokens_.at(TokenKind::kInteger);
      node->constant->type = integer ? Type::kInt : Type::kFloat;
      node->constant->integer = tokens_.current().integer;
      node->constant->number = tokens_.current().number;
      tokens_.Skip();
      return node;
    }
    default: break;
  }
  if (tokens_.SkipOperator("(")) {
    ASSIGN_OR_RETURN(ExprPtr node, TupleOf(false, true, false, true));
    RETURN_IF_ERROR(tokens_.ExpectOperator(")"));
    return node;
  }
  if (tokens_.at_operator("[")) return ListOrDict(false);
  if (tokens_.at_operator("{")) return ListOrDict(true);
  return tokens_.Fail("unexpected " + tokens_.Describe());
}

Result<ExprPtr> ExpressionParser::NameOrLiteral(bool with_namespace) {
  ExprPtr node = NewExpr(ExprKind::kName);
  const std::string name = tokens_.current().text;
  tokens_.Skip();
  const bool is_true = name == "true" || name == "True";
  if (is_true || name == "false" || name == "False" || name == "none" || name == "None") {
    node->kind = ExprKind::kConstant;
    node->constant.emplace();
    const bool none = name == "none" || name == "None";
    node->constant->type = none ? Type::kNone : Type::kBool;
    node->constant->boolean = is_true;
    return node;
  }
  node->name = name;
  if (with_namespace && tokens_.SkipOperator(".")) {
    node->kind = ExprKind::kNamespaceItem;
    ASSIGN_OR_RETURN(node->attribute, tokens_.ExpectName());
  }
  return node;
}

Result<ExprPtr> ExpressionParser::StringLiteral() {
  ExprPtr node = NewExpr(ExprKind::kConstant);
  node->constant.emplace();
  node->constant->type = Type::kString;
  node->constant->index = string_constants_++;
  for (; tokens_.at(TokenKind::kString); tokens_.Skip()) {
    node->constant->text += tokens_.current().text;
  }
  return node;
}

Result<ExprPtr> ExpressionParser::ListOrDict(bool dict) {
  ExprPtr node = NewExpr(dict ? ExprKind::kDict : ExprKind::kList);
  const std::string_view close = dict ? "}" : "]";
  tokens_.Skip();
  while (!tokens_.at_operator(close)) {
    if (!node->kids.empty()) {
      RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      if (tokens_.at_operator(close)) break;
    }
    ASSIGN_OR_RETURN(ExprPtr item, Expression());
    node->kids.push_back(std::move(item));
    if (!dict) continue;
    RETURN_IF_ERROR(tokens_.ExpectOperator(":"));
    ASSIGN_OR_RETURN(ExprPtr value, Expression());
    node->kids.push_back(std::move(value));
  }
  tokens_.Skip();
  return Finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::Tuple(bool conditional) {
  return TupleOf(false, conditional, false, false);
}

Result<ExprPtr> ExpressionParser::TupleOf(bool targets, bool conditional, bool with_namespace,
                                          bool parenthesized) {
  ExprPtr node = NewExpr(ExprKind::kTuple);
  bool is_tuple = false;
  while (true) {
    if (!node->kids.empty()) RETURN_IF_ERROR(tokens_.ExpectOperator(","));
    if (tokens_.at(TokenKind::kVariableEnd) || tokens_.at(TokenKind::kBlockEnd) ||
        tokens_.at_operator(")")) {
      break;
    }
    ASSIGN_OR_RETURN(ExprPtr item, targets ? Primary(with_namespace) : Expression(conditional));
    node->kids.push_back(std::move(item));
    if (!tokens_.at_operator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!node->kids.empty()) return std::move(node->kids[0]);
    if (!parenthesized) return tokens_.Unexpected("an expression");
  }
  return Finish(std::move(node));
}

namespace {

bool Assignable(const Expr& target) {
  if (target.kind == ExprKind::kTuple) {
    return std::all_of(target.kids.begin(), target.kids.end(),
                       [](const ExprPtr& kid) { return Assignable(*kid); });
  }
  return target.kind == ExprKind::kName || target.kind == ExprKind::kNamespaceItem;
}

}  // namespace

Result<ExprPtr> ExpressionParser::Target(bool with_namespace) {
  ASSIGN_OR_RETURN(ExprPtr target, TupleOf(true, true, with_namespace, false));
  if (!Assignable(*target)) return tokens_.Fail("cannot assign to this expression");
  return target;
}

Result<ExprPtr> ExpressionParser::TargetName() {
  ExprPtr node = NewExpr(ExprKind::kName);
  ASSIGN_OR_RETURN(node->name, tokens_.ExpectName());
  for (const std::string_view literal : {"true", "false", "none", "True", "False", "None"}) {
    if (node->name == literal) return tokens_.Fail("cannot assign to '" + node->name + "'");
  }
  return node;
}

Result<ExprPtr> ExpressionParser::Postfix(ExprPtr node) {
  while (true) {
    if (tokens_.at_operator(".") || tokens_.at_operator("[")) {
      ASSIGN_OR_RETURN(node, SubscriptOf(std::move(node)));
    } else if (tokens_.at_operator("(")) {
      ASSIGN_OR_RETURN(node, Call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> ExpressionParser::FilterExpression(ExprPtr node) {
  while (true) {
    if (tokens_.at_operator("|")) {
      ASSIGN_OR_RETURN(node, FilterChain(std::move(node), false));
    } else if (tokens_.at_name("is")) {
      ASSIGN_OR_RETURN(node, Test(std::move(node)));
    } else if (tokens_.at_operator("(")) {
      ASSIGN_OR_RETURN(node, Call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> ExpressionParser::SubscriptOf(ExprPtr node) {
  if (tokens_.SkipOperator(".")) {
    ExprPtr subscript = NewExpr(ExprKind::kAttribute);
    subscript->kids.push_back(std::move(node));
    if (tokens_.at(TokenKind::kInteger)) {
      subscript->kind = ExprKind::kItem;
      ASSIGN_OR_RETURN(ExprPtr index, Primary(false));
      subscript->kids.push_back(std::move(index));
    } else {
      ASSIGN_OR_RETURN(subscript->name, tokens_.ExpectName());
    }
    return Finish(std::move(subscript));
  }
  tokens_.Skip();
  return Subscripted(std::move(node));
}

// What stands in [ ]: an index, several of them (a tuple), or one slice.
Result<ExprPtr> ExpressionParser::Subscripted(ExprPtr object) {
  ExprPtr node = NewExpr(ExprKind::kItem);
  ExprPtr tuple = NewExpr(ExprKind::kTuple);
  node->kids.push_back(std::move(object));
  bool slice = false;
  while (!tokens_.at_operator("]")) {
    if (!tuple->kids.empty()) RETURN_IF_ERROR(tokens_.ExpectOperator(","));
    ExprPtr parts[3];
    size_t colons = 0;
    while (!tokens_.at_operator("]") && !tokens_.at_operator(",") && colons < 3) {
      if (tokens_.at_operator(":")) {
        if (++colons == 3) break;
        tokens_.Skip();
      } else if (parts[colons]) {
        break;
      } else {
        ASSIGN_OR_RETURN(parts[colons], Expression());
      }
    }
    if (colons == 0) {
      if (!parts[0]) return tokens_.Unexpected("an expression");
      tuple->kids.push_back(std::move(parts[0]));
      continue;
    }
    if (!tuple->kids.empty() || !tokens_.at_operator("]")) {
      return tokens_.Fail("a slice must be the only subscript");
    }
    slice = true;
    node->kind = ExprKind::kSlice;
    for (ExprPtr& part : parts) node->kids.push_back(std::move(part));
  }
  tokens_.Skip();
  if (!slice) {
    if (tuple->kids.size() == 1) {
      node->kids.push_back(std::move(tuple->kids[0]));
    } else {
      ASSIGN_OR_RETURN(tuple, Finish(std::move(tuple)));
      node->kids.push_back(std::move(tuple));
    }
  }
  return Finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::Call(ExprPtr node) {
  ExprPtr call = NewExpr(ExprKind::kCall);
  call->kids.push_back(std::move(node));
  ASSIGN_OR_RETURN(call->arguments, CallArgumentList());
  return Finish(std::move(call));
}

Status ExpressionParser::OneArgument(Arguments& arguments) {
  const auto invalid = [this] { return tokens_.Fail("invalid syntax for a call's arguments"); };
  if (tokens_.at_operator("*")) {
    if (arguments.star || arguments.star_star) return invalid();
    tokens_.Skip();
    ASSIGN_OR_RETURN(arguments.star, Expression());
  } else if (tokens_.at_operator("**")) {
    if (arguments.star_star) return invalid();
    tokens_.Skip();
    ASSIGN_OR_RETURN(arguments.star_star, Expression());
  } else if (tokens_.at(TokenKind::kName) && tokens_.ahead_is_operator("=")) {
    if (arguments.star_star) return invalid();
    std::string name = tokens_.current().text;
    tokens_.Skip();
    tokens_.Skip();
    for (const auto& [other, value] : arguments.named) {
      if (other == name) return tokens_.Fail("keyword argument repeated: " + name);
    }
    ASSIGN_OR_RETURN(ExprPtr value, Expression());
    arguments.named.emplace_back(std::move(name), std::move(value));
  } else {
    if (arguments.star || arguments.star_star || !arguments.named.empty()) return invalid();
    ASSIGN_OR_RETURN(ExprPtr value, Expression());
    arguments.positional.push_back(std::move(value));
  }
  return OkStatus();
}

Result<std::unique_ptr<Arguments>> ExpressionParser::CallArgumentList() {
  auto arguments = std::make_unique<Arguments>();
  RETURN_IF_ERROR(tokens_.ExpectOperator("("));
  for (bool first = true; !tokens_.at_operator(")"); first = false) {
    if (!first) {
      RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      if (tokens_.at_operator(")")) break;
    }
    RETURN_IF_ERROR(OneArgument(*arguments));
  }
  tokens_.Skip();
  return arguments;
}

Result<ExprPtr> ExpressionParser::FilterChain(ExprPtr subject, bool starts_inline) {
  while (starts_inline || tokens_.at_operator("|")) {
    if (!starts_inline) tokens_.Skip();
    starts_inline = false;
    ExprPtr node = NewExpr(ExprKind::kFilter);
    ASSIGN_OR_RETURN(node->name, tokens_.ExpectName());
    while (tokens_.SkipOperator(".")) {
      ASSIGN_OR_RETURN(const std::string part, tokens_.ExpectName());
      node->name += "." + part;
    }
    node->body = FindFilter(node->name);
    node->arguments = std::make_unique<Arguments>();
    if (tokens_.at_operator("(")) {
      ASSIGN_OR_RETURN(node->arguments, CallArgumentList());
    }
    node->kids.push_back(std::move(subject));
    ASSIGN_OR_RETURN(subject, Finish(std::move(node)));
  }
  return subject;
}

Result<ExprPtr> ExpressionParser::Test(ExprPtr subject) {
  ExprPtr node = NewExpr(ExprKind::kTest);
  tokens_.Skip();
  const bool negated = tokens_.SkipName("not");
  ASSIGN_OR_RETURN(node->name, tokens_.ExpectName());
  while (tokens_.SkipOperator(".")) {
    ASSIGN_OR_RETURN(const std::string part, tokens_.ExpectName());
    node->name += "." + part;
  }
  node->body = FindTest(node->name);
  node->kids.push_back(std::move(subject));
  node->arguments = std::make_unique<Arguments>();
  const TokenKind next = tokens_.current().kind;
  const bool operand_follows = (next == TokenKind::kName && !tokens_.at_name("else") &&
                                !tokens_.at_name("or") && !tokens_.at_name("and")) ||
                               next == TokenKind::kString || next == TokenKind::kInteger ||
                               next == TokenKind::kFloat || tokens_.at_operator("[") ||
                               tokens_.at_operator("{");
  if (tokens_.at_operator("(")) {
    ASSIGN_OR_RETURN(node->arguments, CallArgumentList());
  } else if (operand_follows) {
    if (tokens_.at_name("is")) return tokens_.Fail("You cannot chain multiple tests with is");
    ASSIGN_OR_RETURN(ExprPtr operand, Primary(false));
    ASSIGN_OR_RETURN(operand, Postfix(std::move(operand)));
    node->arguments->positional.push_back(std::move(operand));
  }
  ASSIGN_OR_RETURN(node, Finish(std::move(node)));
  if (!negated) return node;
  ExprPtr inverse = NewExpr(ExprKind::kNot);
  inverse->kids.push_back(std::move(node));
  return Finish(std::move(inverse));
}

}  // namespace shoal::jinja
