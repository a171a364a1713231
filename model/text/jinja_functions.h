// The functions that templates can call by name: range, namespace, raise_exception and the like.
#pragma once

#include <string_view>

#include "model/text/jinja_value.h"

namespace shoal::jinja {

struct Function {
  std::string_view name;
  FunctionObject::Body body;
};

// Null where there is none.
const Function* FindGlobal(std::string_view name);

}  // namespace shoal::jinja
