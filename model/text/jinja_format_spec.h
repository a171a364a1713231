// Numbers and padding as Python's two formatting languages share them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/text/jinja_heap.h"
#include "model/text/jinja_value.h"

namespace shoal::jinja {

// `[[fill]align][sign][#][0][width][,][.precision][type]`
struct FormatSpec {
  std::string fill = " ";
  char align = '\0';  // < > ^ =, or none given
  char sign = '-';    // '-', '+' or ' '
  bool alternate = false;
  char grouping = '\0';
  Int width = 0;
  Int precision = -1;  // -1: not given
  char type = '\0';
};

Result<FormatSpec> ParseFormatSpec(std::string_view text);

// format(value, spec) of a string or number.
Result<std::string> FormatText(Heap& heap, std::string_view text, const FormatSpec& spec);
Result<std::string> FormatInt(Heap& heap, Int value, const FormatSpec& spec);
Result<std::string> FormatFloat(Heap& heap, double value, const FormatSpec& spec);

// `text` with `width` code points at least; `align` is one of < > ^.
Result<std::string> Pad(Heap& heap, std::string_view text, Int width, std::string_view fill,
                        char align);

}  // namespace shoal::jinja
