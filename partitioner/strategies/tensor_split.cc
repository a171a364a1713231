// What llama.cpp does without --tensor-split: the devices, in their order, share the model by free
// memory. With the cumulated shares c(1) <= ... <= c(n) = 1, layer i of L goes to the first device
// with c(d) > i / (L + 1); the output counts as layer L. Source: behaviour of llama.cpp's model
// loader (github.com/ggml-org/llama.cpp). Departs from it in that the output lies with the last
// layer, wherever that is, and in that pinned or required devices get at least one layer.
#include <algorithm>
#include <numeric>

#include "partitioner/strategies/chain.h"
#include "partitioner/strategy.h"

namespace shoal {

namespace {

// Takes a layer from the largest position for each that must have one and has none.
void GiveLeast(const std::vector<int32_t>& least, std::vector<int32_t>& counts) {
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] >= least[i]) continue;
    --*std::max_element(counts.begin(), counts.end());
    counts[i] = least[i];
  }
}

class TensorSplit final : public Strategy {
 public:
  std::string_view name() const override { return "tensor-split"; }
  std::string_view description() const override {
    return "devices in their order share the model by free memory (llama.cpp)";
  }

  Result<Plan> Place(const PlanProblem& problem) const override {
    RETURN_IF_ERROR(CheckProblem(problem));
    const Chain chain = ChainOf(problem, UsableDevices(problem));
    std::vector<double> cumulated = WeightsOf(chain, [&](int32_t device) {
      const auto index = static_cast<size_t>(device);
      return static_cast<double>(problem.cluster.devices[index].memory_bytes);
    });
    std::partial_sum(cumulated.begin(), cumulated.end(), cumulated.begin());
    const int32_t layers = problem.model.layer_count();
    std::vector<int32_t> counts(chain.devices.size(), 0);
    for (int32_t layer = 0; layer < layers; ++layer) {
      const double at = cumulated.back() * layer / (layers + 1.0);
      const auto found = std::upper_bound(cumulated.begin(), cumulated.end(), at);
      const auto position =
          std::min<size_t>(static_cast<size_t>(found - cumulated.begin()), cumulated.size() - 1);
      ++counts[position];
    }
    GiveLeast(LeastLayers(problem, chain), counts);
    return PlaceCounts(problem, chain, counts, name());
  }
};

}  // namespace

std::unique_ptr<Strategy> MakeTensorSplit() { return std::make_unique<TensorSplit>(); }

}  // namespace shoal
