// Finds which variable each name of a template means, as Jinja2's compiler does: every loop body,
// macro and captured block is a scope; what a scope assigns is its own, and starts as a copy of the
// variable of that name around it. So an assignment in a loop is gone with the iteration, and a
// macro sees the variables that surround its definition.
#pragma once

#include "base/result.h"
#include "model/text/jinja_ast.h"

namespace shoal::jinja {

// Fills in slots and scope entries; reports what Jinja2 refuses when it compiles (an unknown filter
// or test outside of a condition, `loop` as a loop's variable).
Status ResolveNames(TemplateTree& tree);

}  // namespace shoal::jinja
