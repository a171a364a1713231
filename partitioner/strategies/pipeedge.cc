// PipeEdge's partition: Y. Hu, C. Imes, X. Zhao, S. Kundu, P. A. Beerel, S. P. Crago, J. P.
// Walters, "PipeEdge: Pipeline Parallelism for Large-Scale Model Inference on Heterogeneous Edge
// Devices", DSD 2022 (arXiv:2110.14895 as EdgePipe). A dynamic program over (layers placed, set of
// devices used, last device) that minimizes the longest computation or transfer of the pipeline,
// which overlap.
//
// Departs from the paper: devices that are alike are counted, not named, which changes no result;
// the batch is the workload's sessions shared among all devices; a transfer is the time that the
// link is busy, as the paper's bytes / bandwidth.
#include "partitioner/strategies/subset_dp.h"
#include "partitioner/strategy.h"

namespace shoal {

namespace {

class PipeEdge final : public Strategy {
 public:
  std::string_view name() const override { return "pipeedge"; }
  std::string_view description() const override {
    return "the smallest bottleneck over all sets of devices (PipeEdge 2022)";
  }

  Result<Plan> Place(const PlanProblem& problem) const override {
    RETURN_IF_ERROR(CheckProblem(problem));
    const BottleneckRules rules{.source = problem.constraints.first, .latency_counts = false};
    return PlaceByBottleneck(problem, rules, name());
  }
};

}  // namespace

std::unique_ptr<Strategy> MakePipeEdge() { return std::make_unique<PipeEdge>(); }

}  // namespace shoal
