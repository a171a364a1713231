// Cuts a template into text and the tokens of its tags, and applies the white-space rules of
// trim_blocks, lstrip_blocks, `-` and `+`. Source of the rules: Jinja2's template designer manual
// and the behaviour of its lexer.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/text/jinja_value.h"

namespace shoal::jinja {

enum class TokenKind {
  kData,           // text outside of tags
  kVariableBegin,  // {{
  kVariableEnd,    // }}
  kBlockBegin,     // {%
  kBlockEnd,       // %}
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,  // text is the operator
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;
  std::string text;  // of a string: with its escapes resolved
  Int integer = 0;
  double number = 0;
};

// Ends with a kEnd token. REQUIRES valid UTF-8. Errors name the line.
Result<std::vector<Token>> Tokenize(std::string_view source);

}  // namespace shoal::jinja
