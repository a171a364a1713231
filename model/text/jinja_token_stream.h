// The tokens of a template with a position in them, as both halves of the parser read them.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/text/jinja_lexer.h"

namespace shoal::jinja {

class TokenStream {
 public:
  // REQUIRES that the last token is kEnd.
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[position_]; }
  const Token& ahead() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  int line() const { return current().line; }

  bool at(TokenKind kind) const { return current().kind == kind; }
  bool at_operator(std::string_view text) const {
    return Is(current(), TokenKind::kOperator, text);
  }
  bool at_name(std::string_view text) const { return Is(current(), TokenKind::kName, text); }
  bool ahead_is_operator(std::string_view text) const {
    return Is(ahead(), TokenKind::kOperator, text);
  }
  bool ahead_is_name(std::string_view text) const { return Is(ahead(), TokenKind::kName, text); }

  void Skip() { position_ = std::min(position_ + 1, tokens_.size() - 1); }
  bool SkipOperator(std::string_view text) { return at_operator(text) && (Skip(), true); }
  bool SkipName(std::string_view text) { return at_name(text) && (Skip(), true); }

  Status ExpectOperator(std::string_view text) {
    if (SkipOperator(text)) return OkStatus();
    return Unexpected("'" + std::string(text) + "'");
  }
  Status Expect(TokenKind kind, std::string_view description) {
    if (!at(kind)) return Unexpected(description);
    Skip();
    return OkStatus();
  }
  Result<std::string> ExpectName() {
    if (!at(TokenKind::kName)) return Unexpected("a name");
    std::string name = current().text;
    Skip();
    return name;
  }

  Error Fail(const std::string& message) const {
    return InvalidArgument("line " + std::to_string(line()) + ": " + message);
  }
  Error Unexpected(std::string_view wanted) const {
    return Fail("expected " + std::string(wanted) + ", found " + Describe());
  }
  std::string Describe() const {
    switch (current().kind) {
      case TokenKind::kData: return "text";
      case TokenKind::kVariableBegin: return "'{{'";
      case TokenKind::kVariableEnd: return "'}}'";
      case TokenKind::kBlockBegin: return "'{%'";
      case TokenKind::kBlockEnd: return "'%}'";
      case TokenKind::kString: return "a string";
      case TokenKind::kFloat: return "a number";
      case TokenKind::kEnd: return "the end of the template";
      default: return "'" + current().text + "'";
    }
  }

 private:
  static bool Is(const Token& token, TokenKind kind, std::string_view text) {
    return token.kind == kind && token.text == text;
  }

  std::vector<Token> tokens_;
  size_t position_ = 0;
};

}  // namespace shoal::jinja
