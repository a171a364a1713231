#include "partitioner/plan_search.h"

#include <algorithm>
#include <cmath>
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

// Boxes of less than this width, beside their plans' values, are searched with all bounds there
// are.
constexpr double kCloseWidth = 1e-2;

// Rounds of prices on one box, the length of their steps, and what setting a graph up costs beside
// one hop in it.
constexpr int32_t kPriceRounds = 40;
constexpr double kFirstStep = 1.5;
constexpr double kStepDecay = 0.93;
constexpr int32_t kShares = 8;  // steps from none to all, in trying for the best one

// Of using a device of a group, and of any stage, where devices may be used again.
struct Prices {
  std::vector<double> of_group;
  double of_stage = 0;
};

// A StepVariant with what it costs.
struct Variant {
  SearchCosts costs;
  std::optional<UsedSpace> used;  // none if the relaxation alone is searched
  StageCount stages;
  Prices total_prices;
  Prices additive_prices;
};

struct Box {
  size_t variant = 0;
  SearchLimits limits;
  double least_prefill_s = 0;
  double least_batch_s = 0;
  double bound = 0;
  // Lower bounds by dynamic programs with these limits or wider ones: of the additive costs, of
  // these and the period if its total decides it, and of these and a share of that; the rest is the
  // slowest batch's.
  double additive_s = 0;
  double with_total_s = 0;
  double blended_s = 0;
  double slowest_share = 0;
  bool solved = false;  // with exactly these limits
};

struct HigherBound {
  bool operator()(const Box& a, const Box& b) const {
    return a.bound != b.bound ? a.bound > b.bound : a.variant > b.variant;
  }
};

// With an order to keep, the hops alone tell which devices may follow.
std::vector<UsedSpace::Group> UsedGroups(const SearchSpace& space, bool tracked) {
  std::vector<UsedSpace::Group> groups;
  for (const DeviceGroup& group : space.groups) {
    groups.push_back(
        {static_cast<int32_t>(group.devices.size()), tracked && !space.ordered, group.required});
  }
  return groups;
}

CutGraph Priced(CutGraph graph, const Prices& prices) {
  for (size_t g = 0; g < prices.of_group.size(); ++g) {
    graph.stage_s[g] += prices.of_group[g] + prices.of_stage;
  }
  return graph;
}

class PlanSearcher {
 public:
  // If `relaxed`, it is the relaxation alone that is searched: its bounds hold, and the plans that
  // come of it by chance are plans.
  PlanSearcher(const PlanProblem& problem, double max_work, bool relaxed)
      : problem_(problem),
        space_(MakeSearchSpace(problem)),
        again_(UsedGroups(space_, false), StageCount()),
        relaxed_(relaxed),
        max_work_(max_work),
        work_left_(max_work) {
    const Prices free = {std::vector<double>(space_.groups.size(), 0), 0};
    for (const auto& [in_flight, stages] : StepVariants(problem, space_)) {
      std::optional<UsedSpace> used;
      if (!relaxed) used.emplace(UsedGroups(space_, true), stages);
      variants_.push_back(std::make_unique<Variant>(
          Variant{SearchCosts(problem, space_, in_flight), used, stages, free, free}));
    }
  }

  FoundPlan Run(const Plan* known);

 private:
  void TakeKnown(const Plan& plan);
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
  void SolveRelaxed(Box& box);
  double Work(const Variant& variant) const;
  double BestShare(const Variant& variant, const Box& box) const;
  double SumsBound(const Box& box) const;
  bool HasRoom(const Variant& variant, const CutGraph& graph) const;
  double BoundByPrices(const Variant& variant, const CutGraph& plain, double goal, Prices& prices);
  int32_t StagesWanted(const Variant& variant) const;
  bool MovePrices(const Variant& variant, const std::vector<GroupStage>& path, double length,
                  Prices& prices) const;
  bool HasTwoSums(const Variant& variant) const;
  bool IsPlan(const Variant& variant, const std::vector<GroupStage>& path) const;
  void SearchWithin(const Variant& variant, const CutGraph& graph, const Completions& completions,
                    Box& box);
  void Split(const Box& box);
  double PrefillWidth(const Box& box) const;
  double BatchWidth(const Box& box) const;

  const PlanProblem& problem_;
  SearchSpace space_;
  UsedSpace again_;  // of the relaxation: devices may be used again, stages are not counted
  bool relaxed_;
  double max_work_;
  double work_left_;
  std::vector<std::unique_ptr<Variant>> variants_;
  std::priority_queue<Box, std::vector<Box>, HigherBound> boxes_;
  std::vector<Placement> best_;
  double best_value_ = kEndless;
  double unsettled_ = kEndless;  // least bound of the boxes that were given up
};

FoundPlan PlanSearcher::Run(const Plan* known) {
  if (known != nullptr) TakeKnown(*known);
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
  return {best_, std::min({open, unsettled_, best_value_}), max_work_ - work_left_};
}

void PlanSearcher::TakeKnown(const Plan& plan) {
  best_ = PlacementsOf(plan);
  best_value_ = plan.objective;
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

// Of all but the slowest prefill.
double PlanSearcher::SumsBound(const Box& box) const {
  const SearchCosts& costs = variants_[box.variant]->costs;
  const double slowest_s = costs.batch_weight() * box.least_batch_s;
  return std::max({box.with_total_s, box.additive_s + slowest_s,
                   box.blended_s + box.slowest_share * slowest_s});
}

void PlanSearcher::UpdateBound(Box& box) const {
  const SearchCosts& costs = variants_[box.variant]->costs;
  box.bound = std::max(box.bound, SumsBound(box) + costs.prefill_weight() * box.least_prefill_s);
}

// No plan is of interest whose maxima alone make it no better than the best known.
void PlanSearcher::Tighten(Box& box) const {
  const SearchCosts& costs = variants_[box.variant]->costs;
  UpdateBound(box);
  if (costs.prefill_weight() > 0) {
    const double limit = (Below() - SumsBound(box)) / costs.prefill_weight();
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
  SolveRelaxed(box);  // little work, and often enough to drop the box
  if (relaxed_ || box.bound >= Below()) return;
  const Variant& variant = *variants_[box.variant];
  // Of the period's two bounds, by its total and by its slowest stage, a plan pays the larger: at
  // least what it pays on average, whatever their shares.
  const double share = HasTwoSums(variant) ? BestShare(variant, box) : 1;
  const CutGraph graph = variant.costs.Graph(box.limits, share);
  const Completions completions(graph, *variant.used);
  work_left_ -= Work(variant);
  if (completions.best() < kEndless) Offer(variant.costs, completions.Path());
  box.blended_s = completions.best();
  box.slowest_share = 1 - share;
  if (problem_.objective.period_weight == 0) box.additive_s = box.blended_s;
  UpdateBound(box);
  if (!HasTwoSums(variant) || box.limits.least_first < box.limits.most_first) return;
  if (box.bound < Below()) SearchWithin(variant, graph, completions, box);
}

// Of an exact dynamic program.
double PlanSearcher::Work(const Variant& variant) const {
  const double groups = static_cast<double>(space_.groups.size());
  return variant.used->states() * groups * groups * problem_.model.layer_count();
}

// The share of the total that bounds the relaxation by most.
double PlanSearcher::BestShare(const Variant& variant, const Box& box) const {
  double best = 0;
  double best_share = 0;
  for (int32_t i = 0; i <= kShares; ++i) {
    const double share = static_cast<double>(i) / kShares;
    const CutGraph graph = Priced(variant.costs.Graph(box.limits, share), variant.total_prices);
    const double bound = Completions(graph, again_).best() +
                         (1 - share) * variant.costs.batch_weight() * box.least_batch_s;
    if (bound <= best) continue;
    best = bound;
    best_share = share;
  }
  return best_share;
}

bool PlanSearcher::HasTwoSums(const Variant& variant) const {
  const Objective& weights = problem_.objective;
  return variant.costs.has_slowest_batch() &&
         weights.decode_weight + weights.first_token_weight > 0;
}

// Whether every device is used once and the stages are as many as the variant has.
bool PlanSearcher::IsPlan(const Variant& variant, const std::vector<GroupStage>& path) const {
  const auto stages = static_cast<int32_t>(path.size());
  if (stages < variant.stages.least || stages > variant.stages.most) return false;
  std::vector<size_t> uses(space_.groups.size(), 0);
  for (const GroupStage& stage : path) ++uses[static_cast<size_t>(stage.group)];
  for (size_t g = 0; g < uses.size(); ++g) {
    const DeviceGroup& group = space_.groups[g];
    if (uses[g] > group.devices.size()) return false;
    if (group.required && uses[g] < group.devices.size()) return false;
  }
  return true;
}

void PlanSearcher::SolveRelaxed(Box& box) {
  Variant& variant = *variants_[box.variant];
  const double prefill_s = variant.costs.prefill_weight() * box.least_prefill_s;
  const double batch_s = variant.costs.batch_weight() * box.least_batch_s;
  const CutGraph graph = variant.costs.Graph(box.limits, 1);
  box.solved = true;
  box.with_total_s = std::max(
      box.with_total_s, BoundByPrices(variant, graph, Below() - prefill_s, variant.total_prices));
  if (problem_.objective.period_weight == 0) box.additive_s = box.with_total_s;
  UpdateBound(box);
  if (!HasTwoSums(variant) || box.bound >= Below()) return;
  const CutGraph additive = variant.costs.Graph(box.limits, 0);
  const double goal = Below() - prefill_s - batch_s;
  box.additive_s =
      std::max(box.additive_s, BoundByPrices(variant, additive, goal, variant.additive_prices));
  UpdateBound(box);
}

// Whether the devices could hold all layers within the graph's limits, each used once.
bool PlanSearcher::HasRoom(const Variant& variant, const CutGraph& graph) const {
  if (space_.both_ends >= 0) return true;
  std::vector<int32_t> longest;
  for (int32_t g = 0; g < graph.groups; ++g) {
    const size_t devices = space_.groups[static_cast<size_t>(g)].devices.size();
    longest.insert(longest.end(), devices, graph.LongestStage(g));
  }
  std::sort(longest.rbegin(), longest.rend());
  int64_t layers = 0;
  for (size_t i = 0; i < longest.size() && static_cast<int32_t>(i) < variant.stages.most; ++i) {
    layers += longest[i];
  }
  return layers >= graph.layers;
}

// Lagrangian relaxation: a price for each use of a group beyond its devices, and for each stage
// beyond or below the variant's count, moved by the subgradient (Held and Karp 1971; length of the
// steps by Polyak 1969). Returns the best lower bound of the sum, once it reaches the goal.
double PlanSearcher::BoundByPrices(const Variant& variant, const CutGraph& plain, double goal,
                                   Prices& prices) {
  if (!HasRoom(variant, plain)) return kEndless;
  Prices tried = prices;
  double best = 0;
  for (int32_t round = 0; round < kPriceRounds && work_left_ > 0; ++round) {
    const CutGraph graph = Priced(plain, tried);
    double paid = tried.of_stage * StagesWanted(variant);
    for (size_t g = 0; g < tried.of_group.size(); ++g) {
      paid += tried.of_group[g] * static_cast<double>(space_.groups[g].devices.size());
    }
    const Completions completions(graph, again_);
    work_left_ -= static_cast<double>(graph.layers) * graph.groups * (graph.groups + kGraphWork);
    if (completions.best() == kEndless) return kEndless;
    const double bound = completions.best() - paid;
    if (bound > best) prices = tried;
    best = std::max(best, bound);
    if (best >= goal) break;
    const std::vector<GroupStage> path = completions.Path();
    if (IsPlan(variant, path)) Offer(variant.costs, path);
    const double length = kFirstStep * std::pow(kStepDecay, round) * (goal - bound);
    if (!MovePrices(variant, path, length, tried)) break;
  }
  return best;
}

// The count of stages that a price is asked for: of fewer if there is no upper limit.
int32_t PlanSearcher::StagesWanted(const Variant& variant) const {
  const bool open = variant.stages.most == std::numeric_limits<int32_t>::max();
  return open ? variant.stages.least : variant.stages.most;
}

// False if there is nothing to move.
bool PlanSearcher::MovePrices(const Variant& variant, const std::vector<GroupStage>& path,
                              double length, Prices& prices) const {
  std::vector<double> excess;
  for (const DeviceGroup& group : space_.groups) {
    excess.push_back(-static_cast<double>(group.devices.size()));
  }
  for (const GroupStage& stage : path) ++excess[static_cast<size_t>(stage.group)];
  const bool more_allowed = variant.stages.most == std::numeric_limits<int32_t>::max();
  double stages = static_cast<double>(path.size()) - StagesWanted(variant);
  if (more_allowed && stages > 0 && prices.of_stage == 0) stages = 0;
  double squares = stages * stages;
  for (size_t g = 0; g < excess.size(); ++g) {
    if (excess[g] < 0 && prices.of_group[g] == 0) excess[g] = 0;
    squares += excess[g] * excess[g];
  }
  if (squares == 0 || length <= 0 || length == kEndless) return false;
  prices.of_stage += length / squares * stages;
  if (more_allowed) prices.of_stage = std::min(prices.of_stage, 0.0);
  for (size_t g = 0; g < excess.size(); ++g) {
    prices.of_group[g] = std::max(0.0, prices.of_group[g] + length / squares * excess[g]);
  }
  return true;
}

// Where two sums are weighed against each other, narrow boxes do not close by themselves.
void PlanSearcher::SearchWithin(const Variant& variant, const CutGraph& graph,
                                const Completions& completions, Box& box) {
  const double width = PrefillWidth(box) + BatchWidth(box);
  const bool close = width <= kCloseWidth * best_value_;
  LabelBox labels = {box.limits,
                     box.least_prefill_s,
                     box.least_batch_s,
                     &*variant.used,
                     &graph,
                     {{1 - box.slowest_share, &completions}}};
  // Where cuts help little more, every bound does.
  std::vector<std::unique_ptr<CutGraph>> graphs;
  std::vector<std::unique_ptr<Completions>> more;
  for (const double share : {0.0, 1.0}) {
    if (!close || labels.completions.contains(share)) continue;
    graphs.push_back(std::make_unique<CutGraph>(variant.costs.Graph(box.limits, share)));
    more.push_back(std::make_unique<Completions>(*graphs.back(), *variant.used));
    labels.completions[share] = more.back().get();
    work_left_ -= Work(variant);
  }
  const LabelResult found = SearchLabels(
      variant.costs, labels, Below(), width <= kTolerance * best_value_ ? kManyLabels : kFewLabels);
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
  // There, other shares are best in what is left, and at last another search.
  if (HasTwoSums(*variants_[box.variant])) upper.solved = false;
  UpdateBound(upper);
  Push(lower);
  Push(upper);
}

bool HasFewerPoints(const PlanProblem& problem, int64_t points) {
  const SearchSpace space = MakeSearchSpace(problem);
  const int64_t per_state =
      std::max<int64_t>(1, static_cast<int64_t>(space.groups.size()) * problem.model.layer_count());
  const int64_t limit = points / per_state;
  for (const StepVariant& variant : StepVariants(problem, space)) {
    const auto groups = UsedGroups(space, true);
    if (UsedSpace::States(groups, variant.stages, limit) > limit) return false;
  }
  return true;
}

}  // namespace

bool IsExactlySearchable(const PlanProblem& problem) {
  return HasFewerPoints(problem, kMaxExactPoints);
}

bool IsQuicklySearchable(const PlanProblem& problem) {
  constexpr int64_t kQuickPoints = int64_t{1} << 18;
  return HasFewerPoints(problem, kQuickPoints);
}

FoundPlan SearchPlan(const PlanProblem& problem, double max_work) {
  return PlanSearcher(problem, max_work, false).Run(nullptr);
}

FoundPlan BoundPlan(const PlanProblem& problem, const Plan* known, double max_work) {
  return PlanSearcher(problem, max_work, true).Run(known);
}

}  // namespace shoal
