// Parses the tokens of a template into its tree: Jinja2's grammar with the loop controls and
// `generation` blocks that chat templates add. Variables are not resolved yet (jinja_scope.h).
#pragma once

#include <vector>

#include "base/result.h"
#include "model/text/jinja_ast.h"
#include "model/text/jinja_lexer.h"

namespace shoal::jinja {

// Errors name the line; a tree deeper than TemplateLimits::kMaxNesting is one.
Result<TemplateTree> Parse(std::vector<Token> tokens);

}  // namespace shoal::jinja
