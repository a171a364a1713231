#include "partitioner/order_search.h"

#include <algorithm>
#include <memory>

#include "partitioner/search_costs.h"

namespace shoal {

namespace {

class OrderSearcher {
 public:
  OrderSearcher(const PlanProblem& problem, double max_work)
      : problem_(problem), work_left_(max_work), space_(MakeSearchSpace(problem)) {
    const SearchSpace grouped = space_;
    keep_order_ = grouped.ordered;
    space_.ordered = true;
    space_.groups.clear();
    for (const DeviceGroup& group : grouped.groups) {
      for (const int32_t device : group.devices) {
        space_.groups.push_back({{device}, group.required});
      }
    }
    for (const StepVariant& variant : StepVariants(problem, grouped)) {
      costs_.push_back(std::make_unique<SearchCosts>(problem, space_, variant.in_flight));
    }
  }

  std::vector<Placement> Run();

 private:
  const SearchCosts& CostsOf(size_t stages) const {
    return *costs_[std::min(stages, costs_.size()) - 1];
  }
  void SortBySpeed();
  bool TryOrder(const SearchCosts& costs);
  bool TryWithin(const SearchCosts& costs, const SearchLimits& limits);
  bool Offer(const std::vector<GroupStage>& path);
  bool ImproveOnce();
  void FrontToBest();

  const PlanProblem& problem_;
  double work_left_;
  SearchSpace space_;
  bool keep_order_ = false;
  std::vector<std::unique_ptr<SearchCosts>> costs_;  // by stages, the last for more
  std::vector<Placement> best_;
  PathCost best_cost_;
  double best_value_ = kEndless;
};

// Those with the most layers for their time first.
void OrderSearcher::SortBySpeed() {
  const StageRange all = {0, problem_.model.layer_count()};
  std::stable_sort(space_.groups.begin(), space_.groups.end(),
                   [&](const DeviceGroup& a, const DeviceGroup& b) {
                     const SearchCosts& costs = *costs_.front();
                     return costs.Stage(a.devices[0], all).total_batch_s <
                            costs.Stage(b.devices[0], all).total_batch_s;
                   });
}

bool OrderSearcher::Offer(const std::vector<GroupStage>& path) {
  std::vector<Placement> placements;
  const StageRange first = {0, path.front().layers.begin};
  const StageRange last = {path.back().layers.end, problem_.model.layer_count()};
  if (first.size() > 0) placements.push_back({space_.both_ends, first});
  for (const GroupStage& stage : path) {
    placements.push_back(
        {space_.groups[static_cast<size_t>(stage.group)].devices[0], stage.layers});
  }
  if (last.size() > 0) placements.push_back({space_.both_ends, last});
  const SearchCosts& costs = CostsOf(placements.size());
  if (space_.both_ends >= 0 && !costs.BothFit(first, last)) return false;
  const PathCost cost = costs.Measure(placements);
  constexpr double kLeastGain = 1e-9;
  if (costs.Value(cost) >= best_value_ * (1 - kLeastGain)) return false;
  best_ = placements;
  best_cost_ = cost;
  best_value_ = costs.Value(cost);
  return true;
}

bool OrderSearcher::TryWithin(const SearchCosts& costs, const SearchLimits& limits) {
  const CutGraph graph = costs.Graph(limits, 1);
  const UsedSpace used(
      std::vector<UsedSpace::Group>(space_.groups.size(), UsedSpace::Group{1, false, false}),
      StageCount());
  const Completions completions(graph, used);
  work_left_ -= static_cast<double>(graph.layers) * graph.groups * (graph.groups + kGraphWork);
  return completions.best() < kEndless && Offer(completions.Path());
}

// With limits that a better plan must keep, and somewhat narrower ones.
bool OrderSearcher::TryOrder(const SearchCosts& costs) {
  bool better = false;
  for (const double share : {1.0, 0.9, 0.7}) {
    SearchLimits limits;
    if (space_.both_ends >= 0) limits.most_first = problem_.model.layer_count() - 2;
    if (best_value_ < kEndless && costs.has_slowest_batch()) {
      limits.batch_s = share * best_value_ / costs.batch_weight();
    }
    if (best_value_ < kEndless && costs.prefill_weight() > 0) {
      limits.prefill_s = share * best_cost_.slowest_prefill_s;
    }
    better = TryWithin(costs, limits) || better;
    if (costs.prefill_weight() == 0) break;
  }
  return better;
}

// The devices of the best plan in their order, then the others.
void OrderSearcher::FrontToBest() {
  const auto rank = [&](const DeviceGroup& group) {
    const auto at = std::find_if(best_.begin(), best_.end(), [&](const Placement& placement) {
      return placement.device == group.devices[0];
    });
    return at - best_.begin();
  };
  std::stable_sort(space_.groups.begin(), space_.groups.end(),
                   [&](const DeviceGroup& a, const DeviceGroup& b) { return rank(a) < rank(b); });
}

// Moves one device at a time to every other place.
bool OrderSearcher::ImproveOnce() {
  const size_t count = space_.groups.size();
  const size_t places = std::min(count, best_.size() + 1);
  for (size_t from = 0; from < count; ++from) {
    for (size_t to = 0; to < places && work_left_ > 0; ++to) {
      if (from == to) continue;
      const std::vector<DeviceGroup> before = space_.groups;
      const DeviceGroup moved = space_.groups[from];
      space_.groups.erase(space_.groups.begin() + static_cast<ptrdiff_t>(from));
      space_.groups.insert(space_.groups.begin() + static_cast<ptrdiff_t>(to), moved);
      if (TryOrder(CostsOf(best_.size()))) return true;
      space_.groups = before;
    }
  }
  return false;
}

std::vector<Placement> OrderSearcher::Run() {
  if (space_.groups.empty() || costs_.empty()) return best_;
  if (!keep_order_) SortBySpeed();
  for (const auto& costs : costs_) TryOrder(*costs);
  if (keep_order_) return best_;
  while (!best_.empty() && work_left_ > 0) {
    FrontToBest();
    for (const auto& costs : costs_) TryOrder(*costs);
    if (!ImproveOnce()) break;
  }
  return best_;
}

}  // namespace

std::vector<Placement> SearchOrders(const PlanProblem& problem, double max_work) {
  return OrderSearcher(problem, max_work).Run();
}

}  // namespace shoal
