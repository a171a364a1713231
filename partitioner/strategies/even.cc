// The split that people make by hand: as many layers for one device as for any other, whatever they
// are. Source: none; the baseline of the papers cited beside this file ("Cloud-Edge-Even" in
// EdgeShard). Devices keep their order; memory is not looked at before the plan is checked.
#include "partitioner/strategies/chain.h"
#include "partitioner/strategy.h"

namespace shoal {

namespace {

class Even final : public Strategy {
 public:
  std::string_view name() const override { return "even"; }
  std::string_view description() const override {
    return "every device gets the same number of layers";
  }

  Result<Plan> Place(const PlanProblem& problem) const override {
    RETURN_IF_ERROR(CheckProblem(problem));
    const Chain chain = ChainOf(problem, UsableDevices(problem));
    const std::vector<double> weights = WeightsOf(chain, [](int32_t) { return 1.0; });
    std::vector<int32_t> capacity(chain.devices.size(), problem.model.layer_count());
    if (chain.returns) capacity.back() = 1;
    return PlaceCounts(
        problem, chain,
        Apportion(problem.model.layer_count(), weights, LeastLayers(problem, chain), capacity),
        name());
  }
};

}  // namespace

std::unique_ptr<Strategy> MakeEven() { return std::make_unique<Even>(); }

}  // namespace shoal
