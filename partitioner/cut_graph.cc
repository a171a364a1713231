#include "partitioner/cut_graph.h"

#include <algorithm>

#include "base/check.h"

namespace shoal {

namespace {

// The number of a state is written in mixed radix: the stages so far, where their count matters and
// the devices do not tell it, then the used devices of each tracked group.
struct Radix {
  Radix(const std::vector<UsedSpace::Group>& groups, StageCount stages) {
    const bool all_tracked = std::all_of(groups.begin(), groups.end(),
                                         [](const UsedSpace::Group& g) { return g.tracked; });
    if (stages.limited() && !all_tracked) {
      const bool open = stages.most == std::numeric_limits<int32_t>::max();
      counter = open ? stages.least : stages.most;
    }
  }
  int64_t States(const std::vector<UsedSpace::Group>& groups, int64_t limit) const {
    int64_t states = counter + 1;
    for (const UsedSpace::Group& group : groups) {
      if (group.tracked) states *= group.devices + 1;
      if (states > limit) return limit + 1;
    }
    return states;
  }

  int32_t counter = 0;  // the stages' largest digit; more stages count as so many; 0: not counted
};

}  // namespace

void EndWindow::Reset(int32_t layers) {
  ends_.resize(static_cast<size_t>(layers) + 1);
  values_.resize(ends_.size());
  front_ = back_ = 0;
}

void EndWindow::Add(int32_t end, double value) {
  while (back_ > front_ && values_[back_ - 1] >= value) --back_;
  ends_[back_] = end;
  values_[back_++] = value;
}

double EndWindow::Least(int32_t farthest) {
  while (front_ < back_ && ends_[front_] > farthest) ++front_;
  return front_ < back_ ? values_[front_] : kEndless;
}

int64_t UsedSpace::States(const std::vector<Group>& groups, StageCount stages, int64_t limit) {
  return Radix(groups, stages).States(groups, limit);
}

UsedSpace::UsedSpace(const std::vector<Group>& groups, StageCount stages) : groups_(groups) {
  const Radix radix(groups, stages);
  states_ = static_cast<int32_t>(radix.States(groups, std::numeric_limits<int32_t>::max() - 1));
  counts_.assign(static_cast<size_t>(states_) * groups_.size(), 0);
  next_.assign(counts_.size(), -1);
  holds_.assign(counts_.size(), 0);
  for (int32_t state = 0; state < states_; ++state) {
    const int32_t counted = state % (radix.counter + 1);
    int32_t rest = state / (radix.counter + 1);
    int32_t stride = radix.counter + 1;
    int32_t total = 0;
    bool all = true;
    for (size_t g = 0; g < groups_.size(); ++g) {
      const size_t index = Index(state, static_cast<int32_t>(g));
      next_[index] = state + (counted < radix.counter ? 1 : 0);
      holds_[index] = 1;
      if (!groups[g].tracked) continue;
      const int32_t digit = rest % (groups[g].devices + 1);
      counts_[index] = digit;
      total += digit;
      holds_[index] = digit > 0;
      next_[index] = digit < groups[g].devices ? next_[index] + stride : -1;
      if (groups[g].required && digit < groups[g].devices) all = false;
      rest /= groups[g].devices + 1;
      stride *= groups[g].devices + 1;
    }
    const int32_t so_far = radix.counter > 0 ? counted : total;
    complete_.push_back(all &&
                        (!stages.limited() || (so_far >= stages.least && so_far <= stages.most)));
    stages_left_.push_back(stages.most - so_far);
    if (groups_.empty() || so_far < stages.most) continue;
    std::fill_n(&next_[Index(state, 0)], groups_.size(), -1);
    if (so_far > stages.most) std::fill_n(&holds_[Index(state, 0)], groups_.size(), uint8_t{0});
  }
}

Completions::Completions(const CutGraph& graph, const UsedSpace& used)
    : graph_(graph),
      used_(used),
      cost_(std::make_unique_for_overwrite<double[]>(static_cast<size_t>(used.states()) *
                                                     static_cast<size_t>(graph.layers) *
                                                     static_cast<size_t>(graph.groups))) {
  MeasureReach();
  after_.resize(static_cast<size_t>(graph.layers));
  then_.resize(static_cast<size_t>(graph.groups));
  windows_.resize(static_cast<size_t>(graph.groups));
  for (int32_t state = used.states() - 1; state >= 0; --state) FillState(state);
  for (int32_t begin = 0; begin < graph.layers; ++begin) {
    for (int32_t g = 0; g < graph.groups; ++g) best_ = std::min(best_, FromStart(g, begin));
  }
}

int32_t CutGraph::LongestStage(int32_t group) const {
  int32_t longest = layers - tail_begin[static_cast<size_t>(group)];
  for (int32_t begin = 0; begin < layers; ++begin) {
    longest = std::max(longest, farthest[At(group, begin, layers)] - begin);
  }
  return longest;
}

void Completions::MeasureReach() {
  for (int32_t boundary = 1; boundary < graph_.layers; ++boundary) {
    const auto at = static_cast<size_t>(boundary);
    const bool same = boundary > 1 && graph_.hop_class[at] == graph_.hop_class[at - 1];
    if (!same) same_hops_.push_back({boundary, boundary});
    same_hops_.back().end = boundary + 1;
  }
  for (int32_t g = 0; g < graph_.groups; ++g) {
    for (int32_t begin = 0; begin < graph_.layers; ++begin) {
      if (graph_.start_s[graph_.At(begin, g, graph_.groups)] < kEndless) {
        layers_at_start_ = std::max(layers_at_start_, begin);
      }
      if (graph_.finish(g, begin) < kEndless) {
        layers_at_finish_ = std::max(layers_at_finish_, graph_.layers - begin);
      }
    }
    longest_.push_back(graph_.LongestStage(g));
    longest_of_all_ = std::max(longest_of_all_, longest_.back());
  }
}

StageRange Completions::Begins(int32_t used) const {
  int64_t before = layers_at_start_;
  int64_t left = 0;
  for (int32_t g = 0; g < graph_.groups; ++g) {
    const UsedSpace::Group& group = used_.groups()[static_cast<size_t>(g)];
    const int32_t longest = longest_[static_cast<size_t>(g)];
    const int32_t count = used_.count(used, g);
    before += group.tracked ? int64_t{count} * longest : graph_.layers;
    left += group.tracked ? int64_t{group.devices - count} * longest : graph_.layers;
  }
  left = std::min(left, int64_t{used_.stages_left(used)} * longest_of_all_);
  const int64_t least = graph_.layers - layers_at_finish_ - longest_of_all_ - left;
  return {static_cast<int32_t>(std::clamp<int64_t>(least, 0, graph_.layers)),
          static_cast<int32_t>(std::min<int64_t>(before + 1, graph_.layers))};
}

double Completions::FromStart(int32_t group, int32_t begin) const {
  const int32_t used = used_.next(0, group);
  if (used < 0) return kEndless;
  return graph_.start_s[graph_.At(begin, group, graph_.groups)] + cost(used, group, begin);
}

// The innermost loop of the search: contiguous in everything that it reads.
void Completions::MeasureAfter(int32_t used, int32_t group, StageRange ends) {
  const size_t finish = graph_.At(group, 0, graph_.layers + 1);
  for (int32_t end = ends.begin; end < ends.end; ++end) {
    const auto at = static_cast<size_t>(end);
    after_[at] = used_.complete(used) ? graph_.finish_s[finish + at] : kEndless;
  }
  for (const int32_t next : open_) {
    const double* then = &cost_[Index(used_.next(used, next), next, 0)];
    for (const StageRange& same : same_hops_) {
      const double hop = graph_.hop(group, next, same.begin);
      const int32_t last = std::min(same.end, ends.end);
      for (int32_t end = std::max(same.begin, ends.begin); end < last; ++end) {
        double& after = after_[static_cast<size_t>(end)];
        after = std::min(after, hop + then[end]);
      }
    }
  }
}

double Completions::After(int32_t used, int32_t group, int32_t end) const {
  if (end == graph_.layers) return kEndless;
  double after = used_.complete(used) ? graph_.finish(group, end) : kEndless;
  const double* hops = graph_.hops(group, end);
  for (size_t i = 0; i < open_.size(); ++i) after = std::min(after, hops[open_[i]] + then_[i]);
  return after;
}

// One step of a group's descent: to stages that begin at `begin`, of which the shortest ends one
// layer later, at the cost `after`; that is kEndless where the model ends.
void Completions::Descend(int32_t used, int32_t group, int32_t begin, double after) {
  EndWindow& window = windows_[static_cast<size_t>(group)];
  if (after < kEndless) window.Add(begin + 1, graph_.before(group, begin + 1) + after);
  if (begin >= begins_.end) return;
  double least = window.Least(graph_.farthest[graph_.At(group, begin, graph_.layers)]);
  if (used_.complete(used) && graph_.allows(group, {begin, graph_.layers})) {
    least =
        std::min(least, graph_.before(group, graph_.layers) + graph_.finish(group, graph_.layers));
  }
  cost_[Index(used, group, begin)] =
      least + graph_.stage_s[static_cast<size_t>(group)] - graph_.before(group, begin);
}

void Completions::FillState(int32_t used) {
  std::vector<int32_t> latest;
  open_.clear();
  bool feeds_itself = false;  // then costs at a begin need those of all groups at later ones
  for (int32_t g = 0; g < graph_.groups; ++g) {
    if (used_.holds(used, g)) latest.push_back(g);
    if (used_.next(used, g) >= 0) open_.push_back(g);
    feeds_itself |= used_.next(used, g) == used;
  }
  begins_ = Begins(used);
  for (const int32_t g : latest) {
    std::fill_n(&cost_[Index(used, g, 0)], graph_.layers, kEndless);
    windows_[static_cast<size_t>(g)].Reset(graph_.layers);
  }
  if (begins_.size() <= 0) return;
  const int32_t layers = graph_.layers;
  const int32_t farthest = std::min(layers, begins_.end - 1 + std::max(1, longest_of_all_));
  if (feeds_itself) {
    for (int32_t begin = farthest - 1; begin >= begins_.begin; --begin) {
      for (size_t i = 0; i < open_.size() && begin + 1 < layers; ++i) {
        then_[i] = cost(used_.next(used, open_[i]), open_[i], begin + 1);
      }
      for (const int32_t g : latest) Descend(used, g, begin, After(used, g, begin + 1));
    }
    return;
  }
  for (const int32_t g : latest) {
    MeasureAfter(used, g, {begins_.begin + 1, std::min(farthest + 1, layers)});
    for (int32_t begin = farthest - 1; begin >= begins_.begin; --begin) {
      Descend(used, g, begin,
              begin + 1 < layers ? after_[static_cast<size_t>(begin + 1)] : kEndless);
    }
  }
}

// Follows the sums that were formed above and takes the first that gives the cost.
std::vector<GroupStage> Completions::Path() const {
  CHECK(best_ < kEndless, "there is no path");
  std::vector<GroupStage> path;
  Point point = First();
  for (bool ended = false; !ended;) {
    double least = kEndless;
    Point next;
    int32_t end = 0;
    const auto consider = [&](double after, int32_t to, const Point& then) {
      if (after + graph_.before(point.group, to) >= least) return;
      least = after + graph_.before(point.group, to);
      end = to;
      next = then;
    };
    for (int32_t to = graph_.layers; to > point.begin; --to) {
      if (!graph_.allows(point.group, {point.begin, to})) continue;
      if (used_.complete(point.used)) consider(graph_.finish(point.group, to), to, {});
      if (to == graph_.layers) continue;
      for (int32_t g = 0; g < graph_.groups; ++g) {
        const int32_t used = used_.next(point.used, g);
        if (used < 0) continue;
        consider(graph_.hop(point.group, g, to) + cost(used, g, to), to, {used, g, to});
      }
    }
    CHECK(least < kEndless, "a path does not end before its cost is reached");
    path.push_back({point.group, {point.begin, end}});
    ended = next.group < 0;
    point = next;
  }
  return path;
}

Completions::Point Completions::First() const {
  for (int32_t begin = 0; begin < graph_.layers; ++begin) {
    for (int32_t g = 0; g < graph_.groups; ++g) {
      if (FromStart(g, begin) == best_) return {used_.next(0, g), g, begin};
    }
  }
  CHECK(false, "the best start is one of the starts");
  return {};
}

}  // namespace shoal
