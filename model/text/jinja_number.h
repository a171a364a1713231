// Numbers from text and from one another, as Python's int(), float() and round() make them.
#pragma once

#include <optional>
#include <string_view>

#include "base/result.h"
#include "model/text/jinja_value.h"

namespace shoal::jinja {

// int(text, base); nullopt where Python raises ValueError. Fails for more than 128 bits.
Result<std::optional<Int>> ParseInt(std::string_view text, Int base);
// float(text); nullopt where Python raises ValueError.
std::optional<double> ParseFloat(std::string_view text);
// Towards zero. REQUIRES a finite number; fails beyond 128 bits.
Result<Value> FloatToInt(double number);
// round(value, digits): halves to even. REQUIRES value.numeric().
Result<Value> RoundNumber(const Value& value, Int digits);

}  // namespace shoal::jinja
