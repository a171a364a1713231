// Which layers of a model attend to its last positions only: what the metadata leaves to the
// reader.
#pragma once

#include <cstdint>
#include <string_view>

namespace shoal {

// Where a family's model has a window (ARCHITECTURE.attention.sliding_window), layers attend within
// it but for every so manieth, which sees all. 1: no layer sees all; 0: the family has no windows.
// Sources: the models' papers, and llama.cpp for how their GGUF files say it.
int32_t WindowPeriod(std::string_view architecture);

// The positions that `layer` sees at most; 0: all. `window` as the metadata has it, 0 if it has
// none. REQUIRES period >= 0.
inline int32_t WindowOfLayer(int32_t window, int32_t period, int32_t layer) {
  const bool sees_all = period == 0 || (period > 1 && layer % period == period - 1);
  return sees_all ? 0 : window;
}

}  // namespace shoal
