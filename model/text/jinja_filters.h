// The filters and tests of templates, by name.
#pragma once

#include <string_view>

#include "model/text/jinja_ast.h"

namespace shoal::jinja {

struct NamedFilter {
  std::string_view name;
  FilterBody body;
};

// Null where there is none.
FilterBody FindFilter(std::string_view name);
FilterBody FindTest(std::string_view name);

// The parts of the table of filters: on text and single values, and on sequences.
FilterBody FindTextFilter(std::string_view name);
FilterBody FindSequenceFilter(std::string_view name);

}  // namespace shoal::jinja
