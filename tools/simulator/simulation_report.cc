#include "tools/simulator/simulation_report.h"

#include <algorithm>
#include <numeric>

namespace shoal {

Distribution Distribution::Of(std::vector<double> values) {
  Distribution result;
  result.count = static_cast<int64_t>(values.size());
  if (values.empty()) return result;
  std::sort(values.begin(), values.end());
  result.mean =
      std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  for (size_t p = 0; p <= 100; ++p) {
    const size_t rank = std::max<size_t>(1, (p * values.size() + 99) / 100);
    result.percentile[p] = values[rank - 1];
  }
  return result;
}

}  // namespace shoal
