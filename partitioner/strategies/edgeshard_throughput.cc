// EdgeShard's dynamic program for throughput: M. Zhang, X. Shen, J. Cao, Z. Cui, S. Jiang,
// "EdgeShard: Efficient LLM Inference via Collaborative Edge Computing", 2024 (arXiv:2405.14371),
// algorithm 2. Over (layers placed, set of devices used, last device) it minimizes the longest of
// all stages' computations and transfers, latency included; the first stage lies on the source.
//
// Departs from the paper: devices that are alike are counted, not named, which changes no result;
// the batch is the workload's sessions shared among all devices.
#include "partitioner/strategies/route.h"
#include "partitioner/strategies/subset_dp.h"
#include "partitioner/strategy.h"

namespace shoal {

namespace {

class EdgeShardThroughput final : public Strategy {
 public:
  std::string_view name() const override { return "edgeshard-throughput"; }
  std::string_view description() const override {
    return "the smallest bottleneck from the source device on (EdgeShard 2024)";
  }

  Result<Plan> Place(const PlanProblem& problem) const override {
    RETURN_IF_ERROR(CheckProblem(problem));
    const BottleneckRules rules{.source = SourceDevice(problem), .latency_counts = true};
    return PlaceByBottleneck(problem, rules, name());
  }
};

}  // namespace

std::unique_ptr<Strategy> MakeEdgeShardThroughput() {
  return std::make_unique<EdgeShardThroughput>();
}

}  // namespace shoal
