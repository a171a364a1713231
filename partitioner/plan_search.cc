#include "partitioner/plan_search.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <queue>

#include "partitioner/cut_graph.h"
#include "partitioner/label_search.h"
#include "partitioner/search_costs.h"

namespace shoal {

namespace {

// Differences below this are rounding; far above kStagePenalty times the number of stages.
constexpr double kTolerance = 1e-11;

// Labels tried on a box that can still be cut, and on one that cannot; and what one label costs
// beside a point of the dynamic program.
constexpr int64_t kFewLabels = 2000;
constexpr int64_t kManyLabels = int64_t{1} << 22;
constexpr double kLabelWork = 100;

// Plans with the same number of steps in flight.
struct Variant {
  SearchCosts costs;
  UsedSpace used;
};

struct Box {
  size_t variant = 0;
  SearchLimits limits;
  double least_prefill_s = 0;
  double least_batch_s = 0;
  double bound = 0;
  // Of a dynamic program with these limits or wider ones.
  double additive_s = 0;
  double with_total_s = 0;
  bool solved = false;  // with exactly these limits
};

struct HigherBound {
  bool operator()(const Box& a, const Box& b) const {
    return a.bound != b.bound ? a.bound > b.bound : a.variant > b.variant;
  }
};

// With an order to keep, the hops alone tell which devices may follow.
std::vector<UsedSpace::Group> UsedGroups(const PlanProblem& problem, const SearchSpace& space) {
  const bool tracked = !problem.constraints.keep_order;
  std::vector<UsedSpace::Group> groups;
  for (const DeviceGroup& group : space.groups) {
    groups.push_back({static_cast<int32_t>(group.devices.size()), tracked, group.required});
  }
  return groups;
}

SearchSpace SpaceOf(const PlanProblem& problem) {
  SearchSpace space;
  space.groups = GroupDevices(problem);
  const Constraints& constraints = problem.constraints;
  if (constraints.first == -1 || constraints.first != constraints.last) return space;
  space.both_ends = constraints.first;
  std::erase_if(space.groups,
                [&](const DeviceGroup& group) { return group.devices.front() == space.both_ends; });
  return space;
}

// The stages of the groups' devices in each variant of steps in flight. Where the period does not
// count, or there is one session, the number of stages makes no difference: one variant.
std::vector<std::pair<int32_t, StageCount>> Variants(const PlanProblem& problem,
                                                     const SearchSpace& space) {
  const int32_t sessions = problem.workload.sessions;
  if (problem.objective.period_weight == 0 || sessions == 1) return {{1, StageCount()}};
  int32_t most = 0;
  for (const DeviceGroup& group : space.groups) most += static_cast<int32_t>(group.devices.size());
  const int32_t at_ends = space.both_ends >= 0 ? 2 : 0;
  most = std::min(most + at_ends, problem.model.layer_count());
  std::vector<std::pair<int32_t, StageCount>> variants;
  for (int32_t stages = at_ends + 1; stages <= most && stages < sessions; ++stages) {
    variants.push_back({stages, {stages - at_ends, stages - at_ends}});
  }
  if (most >= sessions) variants.push_back({sessions, {std::max(1, sessions - at_ends)}});
  return variants;
}

class PlanSearcher {
 public:
  PlanSearcher(const PlanProblem& problem, double max_work)
      : problem_(problem), space_(SpaceOf(problem)), work_left_(max_work) {
    for (const auto& [in_flight, stages] : Variants(problem, space_)) {
      variants_.push_back(
          std::make_unique<Variant>(Variant{SearchCosts(problem, space_, in_flight),
                                            UsedSpace(UsedGroups(problem, space_), stages)}));
    }
  }

  FoundPlan Run();

 private:
  void OfferWhole();
  void PushAll();
  void Offer(const SearchCosts& costs, const std::vector<GroupStage>& path);
  std::vector<Placement> ToPlacements(const std::vector<GroupStage>& path) const;
  // A plan must be better than this to count.
  double Below() const { return best_value_ * (1 - kTolerance); }
  void Push(const Box& box) {
    if (box.bound < Below()) boxes_.push(box);
  }
  void UpdateBound(Box& box) const;
  void Tighten(Box& box) const;
  void Solve(Box& box);
  void SearchWithin(const Variant& variant, const CutGraph& graph, const Completions& with_total,
                    const Completions& additive, Box& box);
  void Split(const Box& box);
  double PrefillWidth(const Box& box) const;
  double BatchWidth(const Box& box) const;

  const PlanProblem& problem_;
  SearchSpace space_;
  double work_left_;
  std::vector<std::unique_ptr<Variant>> variants_;
  std::priority_queue<Box, std::vector<Box>, HigherBound> boxes_;
  std::vector<Placement> best_;
  double best_value_ = kEndless;
  double unsettled_ = kEndless;  // least bound of the boxes that were given up
};

FoundPlan PlanSearcher::Run() {
  OfferWhole();
  PushAll();
  while (!boxes_.empty() && boxes_.top().bound < Below() && work_left_ > 0) {
    Box box = boxes_.top();
    boxes_.pop();
    Tighten(box);
    if (!box.solved) Solve(box);
    Tighten(box);
    if (box.bound < Below()) Split(box);
  }
  const double open = boxes_.empty() ? kEndless : boxes_.top().bound;
  return {best_, std::min({open, unsettled_, best_value_})};
}

// The device at both ends may hold everything.
void PlanSearcher::OfferWhole() {
  if (space_.both_ends < 0) return;
  const std::vector<Placement> whole = {{space_.both_ends, {0, problem_.model.layer_count()}}};
  const Result<Plan> plan = EvaluatePlan(problem_, whole, "");
  if (!plan.ok()) return;
  best_ = whole;
  best_value_ = plan->objective;
}

void PlanSearcher::PushAll() {
  if (space_.groups.empty()) return;
  if (space_.both_ends >= 0 && problem_.constraints.keep_order) return;  // it cannot stand twice
  for (size_t i = 0; i < variants_.size(); ++i) {
    Box box;
    box.variant = i;
    if (space_.both_ends >= 0) box.limits.most_first = problem_.model.layer_count() - 2;
    if (box.limits.least_first <= box.limits.most_first) Push(box);
  }
}

std::vector<Placement> PlanSearcher::ToPlacements(const std::vector<GroupStage>& path) const {
  std::vector<Placement> placements;
  std::vector<size_t> used(space_.groups.size(), 0);
  const StageRange first = {0, path.front().layers.begin};
  const StageRange last = {path.back().layers.end, problem_.model.layer_count()};
  if (first.size() > 0) placements.push_back({space_.both_ends, first});
  for (const GroupStage& stage : path) {
    const auto group = static_cast<size_t>(stage.group);
    placements.push_back({space_.groups[group].devices[used[group]++], stage.layers});
  }
  if (last.size() > 0) placements.push_back({space_.both_ends, last});
  return placements;
}

void PlanSearcher::Offer(const SearchCosts& costs, const std::vector<GroupStage>& path) {
  const std::vector<Placement> placements = ToPlacements(path);
  if (space_.both_ends >= 0 &&
      !costs.BothFit(placements.front().layers, placements.back().layers)) {
    return;
  }
  const double value = costs.Value(costs.Measure(placements));
  if (value >= Below()) return;
  best_ = placements;
  best_value_ = value;
}

void PlanSearcher::UpdateBound(Box& box) const {
  const SearchCosts& costs = variants_[box.variant]->costs;
  const double sums =
      std::max(box.with_total_s, box.additive_s + costs.batch_weight() * box.least_batch_s);
  box.bound = std::max(box.bound, sums + costs.prefill_weight() * box.least_prefill_s);
}

// No plan is of interest whose maxima alone make it no better than the best known.
void PlanSearcher::Tighten(Box& box) const {
  const SearchCosts& costs = variants_[box.variant]->costs;
  UpdateBound(box);
  if (costs.prefill_weight() > 0) {
    const double sums =
        std::max(box.with_total_s, box.additive_s + costs.batch_weight() * box.least_batch_s);
    const double limit = (Below() - sums) / costs.prefill_weight();
    if (limit < box.limits.prefill_s) box.solved = false;
    box.limits.prefill_s = std::min(box.limits.prefill_s, limit);
  }
  if (costs.has_slowest_batch()) {
    const double rest = box.additive_s + costs.prefill_weight() * box.least_prefill_s;
    const double limit = (Below() - rest) / costs.batch_weight();
    if (limit < box.limits.batch_s) box.solved = false;
    box.limits.batch_s = std::min(box.limits.batch_s, limit);
  }
  if (box.limits.prefill_s < box.least_prefill_s || box.limits.batch_s < box.least_batch_s) {
    box.bound = kEndless;
  }
}

double PlanSearcher::PrefillWidth(const Box& box) const {
  const double weight = variants_[box.variant]->costs.prefill_weight();
  return weight > 0 ? weight * (box.limits.prefill_s - box.least_prefill_s) : 0;
}

double PlanSearcher::BatchWidth(const Box& box) const {
  const SearchCosts& costs = variants_[box.variant]->costs;
  if (!costs.has_slowest_batch()) return 0;
  return costs.batch_weight() * (box.limits.batch_s - box.least_batch_s);
}

void PlanSearcher::Solve(Box& box) {
  if (box.bound >= Below()) return;
  const Variant& variant = *variants_[box.variant];
  const CutGraph graph = variant.costs.Graph(box.limits, 1);
  const Completions with_total(graph, variant.used);
  const double points = static_cast<double>(variant.used.states()) * graph.layers * graph.groups;
  work_left_ -= points * graph.groups;
  box.solved = true;
  box.with_total_s = std::max(box.with_total_s, with_total.best());
  if (with_total.best() < kEndless) Offer(variant.costs, with_total.Path());
  if (problem_.objective.period_weight == 0) box.additive_s = box.with_total_s;
  UpdateBound(box);
  const bool two_sums =
      variant.costs.has_slowest_batch() &&
      problem_.objective.decode_weight + problem_.objective.first_token_weight > 0;
  if (!two_sums || box.bound >= Below()) return;
  const CutGraph additive_graph = variant.costs.Graph(box.limits, 0);
  const Completions additive(additive_graph, variant.used);
  work_left_ -= points * graph.groups;
  box.additive_s = std::max(box.additive_s, additive.best());
  Offer(variant.costs, additive.Path());
  UpdateBound(box);
  if (box.limits.least_first < box.limits.most_first) return;
  if (box.bound < Below()) SearchWithin(variant, graph, with_total, additive, box);
}

// Where two sums are weighed against each other, narrow boxes do not close by themselves.
void PlanSearcher::SearchWithin(const Variant& variant, const CutGraph& graph,
                                const Completions& with_total, const Completions& additive,
                                Box& box) {
  const bool narrow = PrefillWidth(box) + BatchWidth(box) <= kTolerance * best_value_;
  const LabelBox labels = {box.limits, box.least_prefill_s, box.least_batch_s, &variant.used,
                           &graph,     &additive,           &with_total};
  const LabelResult found =
      SearchLabels(variant.costs, labels, Below(), narrow ? kManyLabels : kFewLabels);
  work_left_ -= static_cast<double>(found.labels) * kLabelWork;
  if (!found.path.empty()) Offer(variant.costs, found.path);
  box.bound = std::max(box.bound, found.bound);
}

void PlanSearcher::Split(const Box& box) {
  Box lower = box;
  Box upper = box;
  lower.solved = false;
  if (box.limits.least_first < box.limits.most_first) {
    const int32_t middle = (box.limits.least_first + box.limits.most_first) / 2;
    lower.limits.most_first = middle;
    upper.limits.least_first = middle + 1;
    upper.solved = false;
  } else if (PrefillWidth(box) + BatchWidth(box) <= kTolerance * best_value_) {
    unsettled_ = std::min(unsettled_, box.bound);  // by rounding, or the labels ran out
    return;
  } else if (PrefillWidth(box) >= BatchWidth(box)) {
    lower.limits.prefill_s = (box.least_prefill_s + box.limits.prefill_s) / 2;
    upper.least_prefill_s = lower.limits.prefill_s;
  } else {
    lower.limits.batch_s = (box.least_batch_s + box.limits.batch_s) / 2;
    upper.least_batch_s = lower.limits.batch_s;
  }
  UpdateBound(upper);
  Push(lower);
  Push(upper);
}

}  // namespace

bool IsExactlySearchable(const PlanProblem& problem) {
  const SearchSpace space = SpaceOf(problem);
  const int64_t per_state =
      std::max<int64_t>(1, static_cast<int64_t>(space.groups.size()) * problem.model.layer_count());
  const int64_t limit = kMaxExactPoints / per_state;
  for (const auto& [in_flight, stages] : Variants(problem, space)) {
    if (UsedSpace::States(UsedGroups(problem, space), stages, limit) > limit) return false;
  }
  return true;
}

FoundPlan SearchPlan(const PlanProblem& problem, double max_work) {
  return PlanSearcher(problem, max_work).Run();
}

}  // namespace shoal
