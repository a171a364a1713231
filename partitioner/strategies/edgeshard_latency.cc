// EdgeShard's dynamic program for latency: M. Zhang, X. Shen, J. Cao, Z. Cui, S. Jiang, "EdgeShard:
// Efficient LLM Inference via Collaborative Edge Computing", 2024 (arXiv:2405.14371), algorithm 1.
// For each layer and device, the least time at which the layer can end there: the time of the layer
// before on any device, the transfer, and the computation. The first layer lies on the source
// device, for privacy, and what is generated returns there. Memory left is kept with each state.
//
// Departs from the paper: its way may come back to a device that it left, which a pipeline of one
// range for each device cannot; here a way does not enter a device again, except the source where
// both ends are pinned to it.
#include "partitioner/strategies/route.h"
#include "partitioner/strategy.h"

namespace shoal {

namespace {

class EdgeShardLatency final : public Strategy {
 public:
  std::string_view name() const override { return "edgeshard-latency"; }
  std::string_view description() const override {
    return "layer by layer to the device where it ends soonest (EdgeShard 2024)";
  }

  Result<Plan> Place(const PlanProblem& problem) const override {
    RETURN_IF_ERROR(CheckProblem(problem));
    const RouteRules rules{{SourceDevice(problem)}, [](int32_t, int32_t) { return true; }};
    return PlaceByRoute(problem, rules, name());
  }
};

}  // namespace

std::unique_ptr<Strategy> MakeEdgeShardLatency() { return std::make_unique<EdgeShardLatency>(); }

}  // namespace shoal
