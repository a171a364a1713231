// Methods and properties of values: what `object.name` gives besides the items of a dict.
#pragma once

#include <string_view>

#include "base/result.h"
#include "model/text/jinja_functions.h"
#include "model/text/jinja_heap.h"
#include "model/text/jinja_value.h"

namespace shoal::jinja {

// Null where the object's type has no such method.
const Function* FindMethod(const Value& object, std::string_view name);
const Function* FindStringMethod(std::string_view name);
// kMissing where the object has no such property.
Result<Value> FindProperty(Heap& heap, const Value& object, std::string_view name);
// Whether it is a method that would change a list or dict, which the sandbox refuses.
bool ChangesObject(const Value& object, std::string_view name);

}  // namespace shoal::jinja
