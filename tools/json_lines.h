// JSON lines through a filter: one document per input line, one per output line.
#pragma once

#include <functional>
#include <istream>
#include <nlohmann/json.hpp>
#include <ostream>

#include "base/result.h"

namespace shoal {

// Turns one document into another. Errors say what is wrong with the input.
using JsonTransform = std::function<Result<nlohmann::json>(const nlohmann::json&)>;

// Applies `transform` to each line of `in` until the end or the first error, which names the line.
// Strings that are not valid UTF-8 are written with U+FFFD in the place of what is not.
Status TransformJsonLines(std::istream& in, std::ostream& out, const JsonTransform& transform);

}  // namespace shoal
