// Helix: Y. Mei, Y. Zhuang, X. Miao, J. Yang, Z. Jia, R. Vinayak, "Helix: Serving Large Language
// Models over Heterogeneous GPUs and Network via Max-Flow", ASPLOS 2025 (arXiv:2406.01566). Of a
// placement (each device hosts a range of layers), the tokens per second are the maximum flow from
// the coordinator and back to it: through a device at most what it computes, over a link at most
// what it carries, from one device to another that hosts the next layer and more beyond it.
//
// Departs from the paper: placements are improved by local search (a range's ends move by one
// layer, or it goes elsewhere) from Petals' placement instead of by a mixed integer linear program;
// and of the flow, which spreads requests over many ways, the one way with the widest flow becomes
// the chain.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>

#include "partitioner/cost_model.h"
#include "partitioner/strategies/blocks.h"
#include "partitioner/strategies/chain.h"
#include "partitioner/strategy.h"

namespace shoal {

namespace {

constexpr double kLeastFlow = 1e-9;

// Square matrix of capacities, or flows, between vertices.
class Matrix {
 public:
  explicit Matrix(size_t size) : size_(size), values_(size * size, 0.0) {}
  double& at(size_t from, size_t to) { return values_[from * size_ + to]; }
  double at(size_t from, size_t to) const { return values_[from * size_ + to]; }
  size_t size() const { return size_; }

 private:
  size_t size_;
  std::vector<double> values_;
};

// The way from the first vertex to the last whose narrowest edge is widest: its vertices, or
// nothing.
std::vector<size_t> WidestWay(const Matrix& width) {
  const size_t n = width.size();
  std::vector<double> reached(n, 0.0);
  std::vector<size_t> before(n, n);
  std::vector<bool> done(n, false);
  reached[0] = std::numeric_limits<double>::infinity();
  for (size_t round = 0; round < n; ++round) {
    size_t at = n;
    for (size_t v = 0; v < n; ++v) {
      if (!done[v] && reached[v] > kLeastFlow && (at == n || reached[v] > reached[at])) at = v;
    }
    if (at == n) break;
    done[at] = true;
    for (size_t to = 0; to < n; ++to) {
      const double through = std::min(reached[at], width.at(at, to));
      if (done[to] || !(through > reached[to])) continue;
      reached[to] = through;
      before[to] = at;
    }
  }
  if (before[n - 1] == n) return {};
  std::vector<size_t> way;
  for (size_t v = n - 1; v != 0; v = before[v]) way.push_back(v);
  way.push_back(0);
  std::reverse(way.begin(), way.end());
  return way;
}

struct Flow {
  double tokens_per_s = 0;
  Matrix through;
};

// Augments along widest ways until there is none.
Flow MaxFlow(const Matrix& capacity) {
  Flow flow{0, Matrix(capacity.size())};
  Matrix rest = capacity;
  constexpr int kMaxWays = 1000;
  for (int i = 0; i < kMaxWays; ++i) {
    const std::vector<size_t> way = WidestWay(rest);
    if (way.empty()) break;
    double width = std::numeric_limits<double>::infinity();
    for (size_t v = 1; v < way.size(); ++v) width = std::min(width, rest.at(way[v - 1], way[v]));
    for (size_t v = 1; v < way.size(); ++v) {
      rest.at(way[v - 1], way[v]) -= width;
      rest.at(way[v], way[v - 1]) += width;
      flow.through.at(way[v - 1], way[v]) += width;
      flow.through.at(way[v], way[v - 1]) -= width;
    }
    flow.tokens_per_s += width;
  }
  return flow;
}

class Search {
 public:
  explicit Search(const PlanProblem& problem)
      : problem_(problem),
        costs_(problem, BatchedDecodeStep(problem.workload,
                                          static_cast<int32_t>(UsableDevices(problem).size()))),
        first_(problem.constraints.first),
        last_(problem.constraints.last),
        returns_(first_ != -1 && first_ == last_ && problem.model.layer_count() > 1),
        end_(problem.model.layer_count() - (returns_ ? 1 : 0)),
        blocks_(PetalsBlocks(problem)) {
    const StepShape step =
        BatchedDecodeStep(problem.workload, static_cast<int32_t>(UsableDevices(problem).size()));
    tokens_ = step.tokens;
    for (size_t device = 0; device < blocks_.size(); ++device) {
      sizes_.push_back(std::min(blocks_[device].size(), end_));
      SetRange(device, {blocks_[device].begin, blocks_[device].begin + sizes_[device]}, blocks_);
    }
  }

  // Placements are improved until no move helps or enough were tried.
  std::vector<Placement> Best() {
    Flow best = FlowOf(blocks_);
    int tries = 0;
    for (bool better = true; better && tries < kMaxTries;) {
      better = false;
      for (size_t device = 0; device < blocks_.size() && tries < kMaxTries; ++device) {
        for (const StageRange& range : Moves(device)) {
          HostedBlocks moved = blocks_;
          if (!SetRange(device, range, moved)) continue;
          ++tries;
          Flow flow = FlowOf(moved);
          if (!(flow.tokens_per_s > best.tokens_per_s * (1 + 1e-9))) continue;
          best = std::move(flow);
          blocks_ = std::move(moved);
          better = true;
        }
      }
    }
    return ChainOfFlow(best);
  }

 private:
  static constexpr int kMaxTries = 1500;

  std::vector<StageRange> Moves(size_t device) const {
    if (sizes_[device] == 0) return {};
    const auto [begin, end] = blocks_[device];
    std::vector<StageRange> moves = {{begin - 1, end}, {begin + 1, end},     {begin, end - 1},
                                     {begin, end + 1}, {begin - 1, end - 1}, {begin + 1, end + 1}};
    for (const StageRange& other : blocks_) {  // right behind or before another
      moves.push_back({other.end, other.end + sizes_[device]});
      moves.push_back({other.begin - sizes_[device], other.begin});
    }
    return moves;
  }

  // False if the device cannot host that. Pinned devices keep their end of the model.
  bool SetRange(size_t device, StageRange range, HostedBlocks& blocks) const {
    if (sizes_[device] == 0) return false;
    range.begin = std::max(range.begin, 0);
    range.end = std::min(range.end, end_);
    const auto index = static_cast<int32_t>(device);
    if (index == first_) range = {0, range.size()};
    if (index == last_ && !returns_) range = {end_ - range.size(), end_};
    if (range.size() < 1 || range.size() > sizes_[device]) return false;
    blocks[device] = range;
    return true;
  }

  // Vertices: the coordinator sending, in and out of each device, the coordinator receiving.
  static size_t In(size_t device) { return 1 + 2 * device; }
  static size_t Out(size_t device) { return 2 + 2 * device; }

  Flow FlowOf(const HostedBlocks& blocks) const {
    const Cluster& cluster = problem_.cluster;
    const size_t devices = blocks.size();
    Matrix capacity(2 * devices + 2);
    for (size_t i = 0; i < devices; ++i) {
      if (blocks[i].size() == 0) continue;
      const auto device = static_cast<int32_t>(i);
      constexpr double kLeastS = 1e-12;
      capacity.at(In(i), Out(i)) = tokens_ / std::max(costs_.stage_s(device, blocks[i]), kLeastS);
      if (blocks[i].begin == 0 && (first_ == -1 || first_ == device)) {
        const LinkProfile& link = cluster.link(cluster.coordinator(), device);
        if (link.usable) capacity.at(0, In(i)) = link.bytes_per_s / kControlBytes;
      }
      if (blocks[i].end == end_) capacity.at(Out(i), 2 * devices + 1) = ToEnd(device);
      for (size_t j = 0; j < devices; ++j) {
        const bool follows = blocks[j].begin <= blocks[i].end && blocks[i].end < blocks[j].end;
        const auto to = static_cast<int32_t>(j);
        if (i == j || !follows || !cluster.link(device, to).usable) continue;
        const double seconds = costs_.occupancy_s(device, to, blocks[i].end);
        capacity.at(Out(i), In(j)) = tokens_ / std::max(seconds, kLeastS);
      }
    }
    return MaxFlow(capacity);
  }

  // Tokens per second from the last stage's device back.
  double ToEnd(int32_t device) const {
    const Cluster& cluster = problem_.cluster;
    if (!returns_ || device == first_) {
      const LinkProfile& link = cluster.link(device, cluster.coordinator());
      const bool ends = last_ == -1 || last_ == device;
      return ends && link.usable ? link.bytes_per_s / kControlBytes : 0;
    }
    if (!cluster.link(device, first_).usable) return 0;
    constexpr double kLeastS = 1e-12;
    return tokens_ / std::max(costs_.occupancy_s(device, first_, end_), kLeastS);
  }

  std::vector<Placement> ChainOfFlow(const Flow& flow) const {
    std::vector<Placement> stages;
    int32_t begin = 0;
    for (const size_t vertex : WidestWay(flow.through)) {
      if (vertex % 2 == 0 || vertex + 1 == flow.through.size()) continue;  // not the way in
      const size_t device = (vertex - 1) / 2;
      stages.push_back({static_cast<int32_t>(device), {begin, blocks_[device].end}});
      begin = blocks_[device].end;
    }
    if (!returns_ || stages.empty()) return stages;
    if (stages.size() == 1) {
      ++stages.back().layers.end;
    } else {
      stages.push_back({first_, {end_, end_ + 1}});
    }
    return stages;
  }

  const PlanProblem& problem_;
  StepCosts costs_;
  double tokens_ = 1;  // of a step
  int32_t first_;
  int32_t last_;
  bool returns_;  // the first device also holds the last layer
  int32_t end_;   // layers that are placed
  HostedBlocks blocks_;
  std::vector<int32_t> sizes_;  // layers that each device can host
};

class Helix final : public Strategy {
 public:
  std::string_view name() const override { return "helix"; }
  std::string_view description() const override {
    return "the widest way of a maximum flow over improved placements (Helix 2025)";
  }

  Result<Plan> Place(const PlanProblem& problem) const override {
    RETURN_IF_ERROR(CheckProblem(problem));
    const std::vector<Placement> stages = Search(problem).Best();
    if (stages.empty()) {
      return ResourceExhausted(fmt::format("no flow passes all {} layers with KV for {} tokens",
                                           problem.model.layer_count(),
                                           problem.workload.kv_tokens));
    }
    return EvaluatePlan(problem, stages, std::string(name()));
  }
};

}  // namespace

std::unique_ptr<Strategy> MakeHelix() { return std::make_unique<Helix>(); }

}  // namespace shoal
