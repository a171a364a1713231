#include "partitioner/label_search.h"

#include <algorithm>
#include <queue>
#include <unordered_map>

namespace shoal {

namespace {

// A partial plan: everything before a stage of `group` that begins at `begin`; `used` counts it.
struct Label {
  int32_t used = 0;
  int32_t group = -1;
  int32_t begin = 0;
  int64_t parent = -1;
  int32_t end = 0;  // of a complete plan's last group: its stage's end
  PathCost cost;
  double bound = 0;
};

class LabelSearcher {
 public:
  LabelSearcher(const SearchCosts& costs, const LabelBox& box, double below)
      : costs_(costs), box_(box), below_(below) {}

  LabelResult Run(int64_t max_labels);

 private:
  struct Entry {
    double bound;
    int64_t label;
    bool operator<(const Entry& other) const {
      return bound != other.bound ? bound > other.bound : label > other.label;
    }
  };

  void Start();
  void Expand(int64_t index);
  void Follow(int64_t index, const Label& label, StageRange range, const PathCost& after_stage);
  void Finish(int64_t index, const Label& label, StageRange range, const PathCost& after_stage);
  void Add(Label label);
  bool IsDominated(const Label& label);
  double Bound(const Label& label) const;
  std::vector<GroupStage> PathOf(const Label& last) const;
  int32_t layers() const { return box_.graph->layers; }

  const SearchCosts& costs_;
  const LabelBox& box_;
  double below_;
  std::vector<Label> labels_;
  std::priority_queue<Entry> open_;
  std::unordered_map<int64_t, std::vector<int64_t>> at_point_;
};

LabelResult LabelSearcher::Run(int64_t max_labels) {
  Start();
  LabelResult result;
  while (!open_.empty()) {
    const Entry entry = open_.top();
    const Label& label = labels_[static_cast<size_t>(entry.label)];
    result.bound = label.bound;
    if (label.end > 0) result.path = PathOf(label);
    if (label.end > 0 || static_cast<int64_t>(labels_.size()) > max_labels) break;
    open_.pop();
    result.bound = kEndless;
    Expand(entry.label);
  }
  result.bound = std::max(result.bound, 0.0);
  result.labels = static_cast<int64_t>(labels_.size());
  return result;
}

// What a plan with this beginning costs at least.
double LabelSearcher::Bound(const Label& label) const {
  const PathCost& cost = label.cost;
  const double total_s = cost.total_batch_s / costs_.in_flight();
  const double slowest_s = std::max(cost.slowest_batch_s, box_.least_batch_s);
  double sums = 0;
  for (const auto& [share, completions] : box_.completions) {
    const double period_s = share * total_s + (1 - share) * slowest_s;
    const double rest_s = completions->cost(label.used, label.group, label.begin);
    sums = std::max(sums, costs_.batch_weight() * period_s + rest_s);
  }
  return cost.additive_s + sums +
         costs_.prefill_weight() * std::max(cost.slowest_prefill_s, box_.least_prefill_s);
}

bool LabelSearcher::IsDominated(const Label& label) {
  const CutGraph& graph = *box_.graph;
  const int64_t point =
      (int64_t{label.used} * graph.groups + label.group) * (layers() + 1) + label.begin;
  std::vector<int64_t>& others = at_point_[point];
  const auto no_worse = [&](int64_t index) {
    const PathCost& other = labels_[static_cast<size_t>(index)].cost;
    return other.additive_s <= label.cost.additive_s &&
           other.total_batch_s <= label.cost.total_batch_s &&
           other.slowest_prefill_s <= label.cost.slowest_prefill_s &&
           other.slowest_batch_s <= label.cost.slowest_batch_s;
  };
  if (std::any_of(others.begin(), others.end(), no_worse)) return true;
  others.push_back(static_cast<int64_t>(labels_.size()));
  return false;
}

void LabelSearcher::Add(Label label) {
  if (label.bound >= below_ || (label.end == 0 && IsDominated(label))) return;
  open_.push({label.bound, static_cast<int64_t>(labels_.size())});
  labels_.push_back(label);
}

void LabelSearcher::Start() {
  for (int32_t begin = 0; begin < layers(); ++begin) {
    for (int32_t g = 0; g < box_.graph->groups; ++g) {
      const size_t at = box_.graph->At(begin, g, box_.graph->groups);
      if (box_.graph->start_s[at] == kEndless) continue;
      Label label;
      label.used = box_.used->next(0, g);
      if (label.used < 0) continue;
      label.group = g;
      label.begin = begin;
      label.cost = costs_.BeforeGroups(g, begin);
      label.bound = Bound(label);
      Add(label);
    }
  }
}

void LabelSearcher::Expand(int64_t index) {
  const Label label = labels_[static_cast<size_t>(index)];
  for (int32_t end = layers(); end > label.begin; --end) {
    const StageRange range = {label.begin, end};
    if (!box_.graph->allows(label.group, range)) continue;
    PathCost cost = label.cost;
    cost.Add(costs_.Stage(costs_.device(label.group), range));
    if (box_.used->complete(label.used)) Finish(index, label, range, cost);
    if (end < layers()) Follow(index, label, range, cost);
  }
}

void LabelSearcher::Finish(int64_t index, const Label& label, StageRange range,
                           const PathCost& after_stage) {
  if (box_.graph->finish(label.group, range.end) == kEndless) return;
  Label done = label;
  done.parent = index;
  done.end = range.end;
  done.cost = after_stage;
  done.cost.Add(costs_.AfterGroups(label.group, range.end, box_.limits.least_first));
  done.bound = std::max(label.bound, costs_.Value(done.cost));
  Add(done);
}

void LabelSearcher::Follow(int64_t index, const Label& label, StageRange range,
                           const PathCost& after_stage) {
  for (int32_t g = 0; g < box_.graph->groups; ++g) {
    const int32_t used = box_.used->next(label.used, g);
    if (used < 0 || box_.graph->hop(label.group, g, range.end) == kEndless) continue;
    Label next;
    next.used = used;
    next.group = g;
    next.begin = range.end;
    next.parent = index;
    next.cost = after_stage;
    next.cost.Add(costs_.GroupHop(label.group, g, range.end));
    next.bound = Bound(next);
    Add(next);
  }
}

// From the last group's stage backwards.
std::vector<GroupStage> LabelSearcher::PathOf(const Label& last) const {
  std::vector<GroupStage> path;
  int32_t end = last.end;
  for (int64_t index = last.parent; index >= 0;) {
    const Label& label = labels_[static_cast<size_t>(index)];
    path.push_back({label.group, {label.begin, end}});
    end = label.begin;
    index = label.parent;
  }
  std::reverse(path.begin(), path.end());
  return path;
}

}  // namespace

LabelResult SearchLabels(const SearchCosts& costs, const LabelBox& box, double below,
                         int64_t max_labels) {
  return LabelSearcher(costs, box, below).Run(max_labels);
}

}  // namespace shoal
