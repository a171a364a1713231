#include "model/gguf/sliding_window.h"

namespace shoal {

int32_t WindowPeriod(std::string_view architecture) {
  struct Row {
    std::string_view architecture;
    int32_t period;
  };
  constexpr Row kRows[] = {
      {"gemma2", 2},  {"gemma3", 6}, {"phi3", 1},
      {"gpt-oss", 2}, {"olmo2", 4},  // OLMo 3; OLMo 2 has no window
  };
  for (const Row& row : kRows) {
    if (row.architecture == architecture) return row.period;
  }
  return 0;
}

}  // namespace shoal
