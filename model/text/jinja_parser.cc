#include "model/text/jinja_parser.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "model/text/chat_template.h"
#include "model/text/jinja_expression_parser.h"
#include "model/text/jinja_token_stream.h"

namespace shoal::jinja {
namespace {

using EndTags = std::initializer_list<std::string_view>;

class StatementParser {
 public:
  explicit StatementParser(std::vector<Token> tokens)
      : tokens_(std::move(tokens)), expressions_(tokens_) {}

  Result<TemplateTree> Run() {
    TemplateTree tree;
    ASSIGN_OR_RETURN(tree.body, Statements({}));
    tree.string_constants = expressions_.string_constants();
    return tree;
  }

 private:
  StmtPtr NewStmt(StmtKind kind) const {
    auto statement = std::make_unique<Stmt>();
    statement->kind = kind;
    statement->line = tokens_.line();
    return statement;
  }

  // Up to a tag that begins with one of the names, which is left as the current token; without
  // names, up to the end of the template.
  Result<Block> Statements(EndTags end_tags) {
    if (++level_ > TemplateLimits::kMaxNesting) {
      return tokens_.Fail("blocks nested deeper than " +
                          std::to_string(TemplateLimits::kMaxNesting));
    }
    Block block;
    while (true) {
      if (tokens_.at(TokenKind::kEnd)) {
        if (end_tags.size() != 0) {
          return tokens_.Fail("the template ends where '" + std::string(*end_tags.begin()) +
                              "' is expected");
        }
        break;
      }
      if (tokens_.at(TokenKind::kData)) {
        StmtPtr data = NewStmt(StmtKind::kData);
        data->text = tokens_.current().text;
        tokens_.Skip();
        block.push_back(std::move(data));
      } else if (tokens_.at(TokenKind::kVariableBegin)) {
        tokens_.Skip();
        StmtPtr print = NewStmt(StmtKind::kPrint);
        ASSIGN_OR_RETURN(print->value, expressions_.Tuple());
        RETURN_IF_ERROR(tokens_.Expect(TokenKind::kVariableEnd, "'}}'"));
        block.push_back(std::move(print));
      } else {
        tokens_.Skip();
        const bool ends = std::any_of(end_tags.begin(), end_tags.end(),
                                      [this](auto name) { return tokens_.at_name(name); });
        if (ends) break;
        RETURN_IF_ERROR(Statement(block));
        RETURN_IF_ERROR(TagEnd());
      }
    }
    --level_;
    return block;
  }

  Status TagEnd() { return tokens_.Expect(TokenKind::kBlockEnd, "'%}'"); }

  // The rest of a tag, the statements behind it, and the name of the tag that ends them.
  Result<Block> Body(EndTags end_tags) {
    tokens_.SkipOperator(":");
    RETURN_IF_ERROR(TagEnd());
    return Statements(end_tags);
  }
  Result<Block> BodyToEnd(std::string_view end_tag) {
    ASSIGN_OR_RETURN(Block body, Body({end_tag}));
    tokens_.Skip();
    return body;
  }

  Status Statement(Block& block) {
    static constexpr std::pair<std::string_view, Status (StatementParser::*)(Stmt&)> kTags[] = {
        {"set", &StatementParser::Set},
        {"if", &StatementParser::If},
        {"for", &StatementParser::For},
        {"macro", &StatementParser::Macro},
        {"call", &StatementParser::CallBlock},
        {"filter", &StatementParser::FilterBlock},
        {"with", &StatementParser::With},
        {"generation", &StatementParser::Generation},
        {"break", &StatementParser::LoopControl},
        {"continue", &StatementParser::LoopControl},
        {"include", &StatementParser::NeedsLoader},
        {"import", &StatementParser::NeedsLoader},
        {"from", &StatementParser::NeedsLoader},
        {"extends", &StatementParser::NeedsLoader},
    };
    if (tokens_.at_name("print")) return Print(block);
    if (tokens_.at_name("block") || tokens_.at_name("autoescape")) {
      return Unimplemented("line " + std::to_string(tokens_.line()) + ": the tag " +
                           tokens_.Describe() + " is not supported");
    }
    for (const auto& [name, parse] : kTags) {
      if (!tokens_.at_name(name)) continue;
      StmtPtr statement = NewStmt(StmtKind::kData);
      statement->text = name;
      tokens_.Skip();
      RETURN_IF_ERROR((this->*parse)(*statement));
      block.push_back(std::move(statement));
      return OkStatus();
    }
    return tokens_.Fail("unknown tag " + tokens_.Describe());
  }

  Status Print(Block& block) {
    tokens_.Skip();
    for (bool first = true; !tokens_.at(TokenKind::kBlockEnd); first = false) {
      if (!first) RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      StmtPtr print = NewStmt(StmtKind::kPrint);
      ASSIGN_OR_RETURN(print->value, expressions_.Expression());
      block.push_back(std::move(print));
    }
    return OkStatus();
  }

  Status Set(Stmt& set) {
    set.kind = StmtKind::kSet;
    ASSIGN_OR_RETURN(set.target, expressions_.Target(true));
    if (tokens_.SkipOperator("=")) {
      ASSIGN_OR_RETURN(set.value, expressions_.Tuple());
      return OkStatus();
    }
    set.kind = StmtKind::kSetBlock;
    ASSIGN_OR_RETURN(set.value, expressions_.FilterChain(nullptr, false));
    ASSIGN_OR_RETURN(set.body, BodyToEnd("endset"));
    return OkStatus();
  }

  Status If(Stmt& branch) {
    branch.kind = StmtKind::kIf;
    ASSIGN_OR_RETURN(branch.value, expressions_.Tuple(false));
    ASSIGN_OR_RETURN(branch.body, Body({"endif", "elif", "else"}));
    if (tokens_.SkipName("elif")) {
      // The rest of the chain is one statement of the else branch, and ends with its `endif`.
      if (++level_ > TemplateLimits::kMaxNesting) {
        return tokens_.Fail("more than " + std::to_string(TemplateLimits::kMaxNesting) +
                            " branches");
      }
      StmtPtr rest = NewStmt(StmtKind::kIf);
      RETURN_IF_ERROR(If(*rest));
      --level_;
      branch.else_body.push_back(std::move(rest));
    } else if (tokens_.SkipName("else")) {
      ASSIGN_OR_RETURN(branch.else_body, BodyToEnd("endif"));
    } else {
      tokens_.Skip();
    }
    return OkStatus();
  }

  Status For(Stmt& loop) {
    loop.kind = StmtKind::kFor;
    ASSIGN_OR_RETURN(loop.target, expressions_.Target(false));
    if (!tokens_.SkipName("in")) return tokens_.Unexpected("'in'");
    ASSIGN_OR_RETURN(loop.value, expressions_.Tuple(false));
    if (tokens_.SkipName("if")) {
      ASSIGN_OR_RETURN(loop.test, expressions_.Expression());
    }
    loop.recursive = tokens_.SkipName("recursive");
    ++loops_;
    ASSIGN_OR_RETURN(loop.body, Body({"endfor", "else"}));
    --loops_;
    if (!tokens_.SkipName("else")) {
      tokens_.Skip();
      return OkStatus();
    }
    ASSIGN_OR_RETURN(loop.else_body, BodyToEnd("endfor"));
    return OkStatus();
  }

  // A body that runs as a function: no loop around it can be left from within.
  Status FunctionBody(Stmt& function, std::string_view end_tag) {
    const int loops = std::exchange(loops_, 0);
    ASSIGN_OR_RETURN(function.body, BodyToEnd(end_tag));
    loops_ = loops;
    return OkStatus();
  }

  Status Signature(Stmt& function) {
    RETURN_IF_ERROR(tokens_.ExpectOperator("("));
    while (!tokens_.at_operator(")")) {
      if (!function.parameters.empty()) RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      ASSIGN_OR_RETURN(ExprPtr parameter, expressions_.TargetName());
      for (const ExprPtr& other : function.parameters) {
        if (other->name == parameter->name) {
          return tokens_.Fail("duplicate argument '" + other->name + "'");
        }
      }
      function.parameters.push_back(std::move(parameter));
      if (tokens_.SkipOperator("=")) {
        ASSIGN_OR_RETURN(ExprPtr value, expressions_.Expression());
        function.defaults.push_back(std::move(value));
      } else if (!function.defaults.empty()) {
        return tokens_.Fail("non-default argument follows default argument");
      }
    }
    tokens_.Skip();
    return OkStatus();
  }

  Status Macro(Stmt& macro) {
    macro.kind = StmtKind::kMacro;
    ASSIGN_OR_RETURN(macro.target, expressions_.TargetName());
    macro.name = macro.target->name;
    RETURN_IF_ERROR(Signature(macro));
    return FunctionBody(macro, "endmacro");
  }

  Status CallBlock(Stmt& call) {
    call.kind = StmtKind::kCallBlock;
    if (tokens_.at_operator("(")) RETURN_IF_ERROR(Signature(call));
    ASSIGN_OR_RETURN(call.value, expressions_.Expression());
    if (call.value->kind != ExprKind::kCall) return tokens_.Fail("expected a call");
    return FunctionBody(call, "endcall");
  }

  Status FilterBlock(Stmt& filter) {
    filter.kind = StmtKind::kFilterBlock;
    ASSIGN_OR_RETURN(filter.value, expressions_.FilterChain(nullptr, true));
    ASSIGN_OR_RETURN(filter.body, BodyToEnd("endfilter"));
    return OkStatus();
  }

  Status With(Stmt& with) {
    with.kind = StmtKind::kWith;
    while (!tokens_.at(TokenKind::kBlockEnd)) {
      if (!with.targets.empty()) RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      ASSIGN_OR_RETURN(ExprPtr target, expressions_.Target(false));
      RETURN_IF_ERROR(tokens_.ExpectOperator("="));
      ASSIGN_OR_RETURN(ExprPtr value, expressions_.Expression());
      with.targets.push_back(std::move(target));
      with.values.push_back(std::move(value));
    }
    ASSIGN_OR_RETURN(with.body, BodyToEnd("endwith"));
    return OkStatus();
  }

  Status Generation(Stmt& block) {
    block.kind = StmtKind::kBlock;
    return FunctionBody(block, "endgeneration");
  }

  Status LoopControl(Stmt& control) {
    control.kind = control.text == "break" ? StmtKind::kBreak : StmtKind::kContinue;
    if (loops_ == 0) return tokens_.Fail("'" + control.text + "' outside of a loop");
    return OkStatus();
  }

  Status NeedsLoader(Stmt& statement) {
    statement.kind = StmtKind::kUnsupported;
    while (!tokens_.at(TokenKind::kBlockEnd) && !tokens_.at(TokenKind::kEnd)) tokens_.Skip();
    return OkStatus();
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  int level_ = 0;  // of blocks around the current one
  int loops_ = 0;  // that a `break` here could leave
};

}  // namespace

Result<TemplateTree> Parse(std::vector<Token> tokens) {
  return StatementParser(std::move(tokens)).Run();
}

}  // namespace shoal::jinja
