// Python's str() and repr() of values and numbers.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "model/text/jinja_heap.h"
#include "model/text/jinja_value.h"

namespace shoal::jinja {

// str(value). Fails where the text would go beyond the limits.
Result<std::string> ToText(Heap& heap, const Value& value);
// Adds str(value) to `out`, which must stay within the limit of one text.
Status AppendText(Heap& heap, const Value& value, std::string& out);
// repr(value): what str() shows of the items of a list or dict.
Result<std::string> Repr(Heap& heap, const Value& value);

std::string IntText(Int value);
// The shortest text that reads back as the same float: "0.1", "1e+16", "inf".
std::string FloatText(double value);
// 'text', or "text" where it has a ' and no "; unprintable code points escaped.
void AppendQuoted(std::string& out, std::string_view text);

}  // namespace shoal::jinja
