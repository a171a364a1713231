#include "model/text/jinja_arguments.h"

#include <algorithm>

#include "model/text/jinja_heap.h"
#include "model/text/jinja_ops.h"

namespace shoal::jinja {

Result<std::vector<Value>> Bind(std::string_view function, CallArguments& arguments,
                                std::initializer_list<std::string_view> parameters,
                                size_t required) {
  const std::string name(function);
  if (arguments.positional.size() > parameters.size()) {
    return Fail(name + "() takes at most " + std::to_string(parameters.size()) + " arguments (" +
                std::to_string(arguments.positional.size()) + " given)");
  }
  std::vector<Value> bound = std::move(arguments.positional);
  bound.resize(parameters.size());
  for (auto& [key, value] : arguments.named) {
    const auto* at = std::find(parameters.begin(), parameters.end(), key);
    if (at == parameters.end()) {
      return Fail(name + "() got an unexpected keyword argument '" + key + "'");
    }
    Value& slot = bound[static_cast<size_t>(at - parameters.begin())];
    if (!slot.missing()) return Fail(name + "() got multiple values for argument '" + key + "'");
    slot = std::move(value);
  }
  for (size_t i = 0; i < required; ++i) {
    if (bound[i].missing()) {
      return Fail(name + "() missing a required argument: '" +
                  std::string(*(parameters.begin() + i)) + "'");
    }
  }
  return bound;
}

Result<std::vector<Value>> BindPositional(std::string_view function, CallArguments& arguments,
                                          size_t required, size_t allowed) {
  const size_t given = arguments.positional.size();
  if (!arguments.named.empty()) {
    return Fail(std::string(function) + "() takes no keyword arguments");
  }
  if (given < required || given > allowed) {
    return Fail(std::string(function) + "() takes " + std::to_string(required) + " to " +
                std::to_string(allowed) + " arguments (" + std::to_string(given) + " given)");
  }
  std::vector<Value> bound = std::move(arguments.positional);
  bound.resize(allowed);
  return bound;
}

Result<Int> IntArgument(std::string_view function, const Value& value, Int fallback) {
  if (value.missing()) return fallback;
  if (value.integral()) return value.integer();
  if (value.undefined()) return UndefinedError(value);
  return Fail(std::string(function) + "(): '" + std::string(TypeName(value)) +
              "' object cannot be interpreted as an integer");
}

Result<std::string> TextArgument(std::string_view function, const Value& value,
                                 std::string_view fallback) {
  if (value.missing()) return std::string(fallback);
  if (value.is(Type::kString)) return value.text();
  if (value.undefined()) return UndefinedError(value);
  return Fail(std::string(function) + "(): must be str, not " + std::string(TypeName(value)));
}

}  // namespace shoal::jinja
