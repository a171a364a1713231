// Layers in proportion to memory, as exo (github.com/exo-explore/exo, "ring memory weighted
// partitioning") gives them to its ring. Departs from it where the proportion exceeds what a device
// can hold: the layer goes to the next that has room. Devices keep the order of the cluster; exo
// sorts its ring by memory, which changes nothing but the order.
#include "partitioner/strategies/chain.h"
#include "partitioner/strategy.h"

namespace shoal {

namespace {

class MemoryProportional final : public Strategy {
 public:
  std::string_view name() const override { return "memory-proportional"; }
  std::string_view description() const override {
    return "every device gets layers in proportion to its memory (exo)";
  }

  Result<Plan> Place(const PlanProblem& problem) const override {
    RETURN_IF_ERROR(CheckProblem(problem));
    const Chain chain = ChainOf(problem, UsableDevices(problem));
    const std::vector<double> weights = WeightsOf(chain, [&](int32_t device) {
      const auto index = static_cast<size_t>(device);
      return static_cast<double>(problem.cluster.devices[index].memory_bytes);
    });
    return PlaceCounts(problem, chain,
                       Apportion(problem.model.layer_count(), weights, LeastLayers(problem, chain),
                                 LayerCapacities(problem, chain)),
                       name());
  }
};

}  // namespace

std::unique_ptr<Strategy> MakeMemoryProportional() {
  return std::make_unique<MemoryProportional>();
}

}  // namespace shoal
