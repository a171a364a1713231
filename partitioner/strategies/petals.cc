// The swarm of Petals: A. Borzunov et al., "Distributed Inference and Fine-tuning of Large Language
// Models Over The Internet", NeurIPS 2023 (arXiv:2312.08361), section 3.2, and "Petals:
// Collaborative Inference and Fine-tuning of Large Models", 2023. Each server in turn hosts as many
// consecutive blocks as its memory holds, where the swarm's throughput is least; then servers move
// as long as the throughput of the worst block gets better by a factor of 1 / 0.75. A client takes
// the way of least latency.
//
// Departs from it: servers join in the order of the cluster; every server's throughput is its
// decode speed over the blocks it hosts; embedding and head, which Petals' clients hold, lie with
// the first and the last block; servers that the one way does not use are left out.
#include <algorithm>
#include <numeric>

#include "partitioner/strategies/blocks.h"
#include "partitioner/strategies/chain.h"
#include "partitioner/strategies/route.h"
#include "partitioner/strategy.h"

namespace shoal {

namespace {

// Tokens per second by layer that the servers together pass.
std::vector<double> Throughputs(const HostedBlocks& blocks, const std::vector<double>& speeds,
                                int32_t layers) {
  std::vector<double> throughputs(static_cast<size_t>(layers), 0.0);
  for (size_t device = 0; device < blocks.size(); ++device) {
    for (int32_t layer = blocks[device].begin; layer < blocks[device].end; ++layer) {
      throughputs[static_cast<size_t>(layer)] += speeds[device];
    }
  }
  return throughputs;
}

// The range of `size` blocks that needs help most: by its worst block, then its next worst.
StageRange WorstRange(const std::vector<double>& throughputs, int32_t size) {
  StageRange worst;
  std::vector<double> least;
  for (int32_t begin = 0; begin + size <= static_cast<int32_t>(throughputs.size()); ++begin) {
    std::vector<double> sorted(throughputs.begin() + begin, throughputs.begin() + begin + size);
    std::sort(sorted.begin(), sorted.end());
    if (!least.empty() && !(sorted < least)) continue;
    least = std::move(sorted);
    worst = {begin, begin + size};
  }
  return worst;
}

class Petals final : public Strategy {
 public:
  std::string_view name() const override { return "petals"; }
  std::string_view description() const override {
    return "each device hosts the blocks that are served worst, then they rebalance (Petals 2023)";
  }

  Result<Plan> Place(const PlanProblem& problem) const override {
    RETURN_IF_ERROR(CheckProblem(problem));
    return PlaceWithin(problem, PetalsBlocks(problem), name());
  }
};

}  // namespace

HostedBlocks PetalsBlocks(const PlanProblem& problem) {
  const int32_t layers = problem.model.layer_count();
  const std::vector<int32_t> devices = UsableDevices(problem);
  HostedBlocks blocks(problem.cluster.devices.size());
  std::vector<double> speeds(blocks.size(), 0.0);
  std::vector<int32_t> sizes(blocks.size(), 0);
  for (const int32_t device : devices) {
    const auto index = static_cast<size_t>(device);
    const Chain alone{{device}, false};  // with embedding and head: it may have to hold either
    sizes[index] = LayerCapacities(problem, alone).front();
    if (sizes[index] == 0) continue;
    speeds[index] = DecodeSpeed(problem, device) * layers / sizes[index];
    blocks[index] = WorstRange(Throughputs(blocks, speeds, layers), sizes[index]);
  }
  constexpr double kBalanceQuality = 0.75;
  constexpr int kRounds = 20;
  for (int round = 0; round < kRounds; ++round) {
    bool moved = false;
    for (size_t device = 0; device < blocks.size(); ++device) {
      if (sizes[device] == 0) continue;
      const std::vector<double> now = Throughputs(blocks, speeds, layers);
      HostedBlocks others = blocks;
      others[device] = {};
      others[device] = WorstRange(Throughputs(others, speeds, layers), sizes[device]);
      const std::vector<double> then = Throughputs(others, speeds, layers);
      const double worst_now = *std::min_element(now.begin(), now.end());
      const double worst_then = *std::min_element(then.begin(), then.end());
      if (!(worst_now < kBalanceQuality * worst_then)) continue;
      blocks = std::move(others);
      moved = true;
    }
    if (!moved) break;
  }
  return blocks;
}

Result<Plan> PlaceWithin(const PlanProblem& problem, const HostedBlocks& blocks,
                         std::string_view strategy) {
  const int32_t first = problem.constraints.first;
  RouteRules rules;
  rules.sources = first == -1 ? UsableDevices(problem) : std::vector<int32_t>{first};
  rules.allowed = [&](int32_t device, int32_t layer) {
    const bool pinned =
        (layer == 0 && device == first) ||
        (layer + 1 == problem.model.layer_count() && device == problem.constraints.last);
    const StageRange range = blocks[static_cast<size_t>(device)];
    return pinned || (layer >= range.begin && layer < range.end);
  };
  return PlaceByRoute(problem, rules, strategy);
}

std::unique_ptr<Strategy> MakePetals() { return std::make_unique<Petals>(); }

}  // namespace shoal
