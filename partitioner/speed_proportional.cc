#include <fmt/format.h>

#include <algorithm>

#include "partitioner/strategies/chain.h"
#include "partitioner/strategy.h"

namespace shoal {

namespace {

class SpeedProportional final : public Strategy {
 public:
  std::string_view name() const override { return "speed-proportional"; }
  std::string_view description() const override {
    return "every device gets layers in proportion to its measured speed, capped by memory";
  }

  Result<Plan> Place(const PlanProblem& problem) const override {
    RETURN_IF_ERROR(CheckProblem(problem));
    const Chain chain = ChainOf(problem, UsableDevices(problem));
    const auto positions = static_cast<int32_t>(chain.devices.size());
    if (problem.model.layer_count() < positions) {
      return InvalidArgument(
          fmt::format("{} devices cannot share {} layers: each needs at least one", positions,
                      problem.model.layer_count()));
    }
    const std::vector<double> speeds =
        WeightsOf(chain, [&](int32_t device) { return DecodeSpeed(problem, device); });
    std::vector<int32_t> capacities = LayerCapacities(problem, chain);
    for (int32_t& capacity : capacities) {
      capacity = std::max(1, capacity);  // EvaluatePlan refuses what is too much
    }
    const std::vector<int32_t> least(chain.devices.size(), 1);
    return PlaceCounts(problem, chain,
                       Apportion(problem.model.layer_count(), speeds, least, capacities), name());
  }
};

}  // namespace

std::unique_ptr<Strategy> MakeSpeedProportional() { return std::make_unique<SpeedProportional>(); }

}  // namespace shoal
