// The arguments of a filter, test, function or method, matched with its parameters.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/text/jinja_value.h"

namespace shoal::jinja {

// One value per parameter, kMissing where it is not given; the first `required` must be. Fails as
// Python does for too many arguments, unknown names and names given twice.
Result<std::vector<Value>> Bind(std::string_view function, CallArguments& arguments,
                                std::initializer_list<std::string_view> parameters,
                                size_t required = 0);
// The same where the parameters have no names.
Result<std::vector<Value>> BindPositional(std::string_view function, CallArguments& arguments,
                                          size_t required, size_t allowed);

// The argument as that type, or `fallback` where it is missing.
Result<Int> IntArgument(std::string_view function, const Value& value, Int fallback);
Result<std::string> TextArgument(std::string_view function, const Value& value,
                                 std::string_view fallback);

}  // namespace shoal::jinja
