// Python's two ways of formatting: "..." % values and "...".format(values).
#pragma once

#include "base/result.h"
#include "model/text/jinja_heap.h"
#include "model/text/jinja_value.h"

namespace shoal::jinja {

// `format % values`; REQUIRES a string.
Result<Value> FormatPercent(Heap& heap, const Value& format, const Value& values);
// `format.format(arguments)`; REQUIRES a string.
Result<Value> FormatBraces(Renderer& renderer, const Value& format, const CallArguments& arguments);

}  // namespace shoal::jinja
