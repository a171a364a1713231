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

// The lowest value among the ends that a begin's window allows, as begins descend.
class EndWindow {
 public:
  void Reset(size_t layers) {
    ends_.resize(layers + 1);
    values_.resize(layers + 1);
    front_ = back_ = 0;
  }
  void Add(int32_t end, double value) {
    while (back_ > front_ && values_[back_ - 1] >= value) --back_;
    ends_[back_] = end;
    values_[back_++] = value;
  }
  double Least(int32_t farthest) {
    while (front_ < back_ && ends_[front_] > farthest) ++front_;
    return front_ < back_ ? values_[front_] : kEndless;
  }

 private:
  std::vector<int32_t> ends_;
  std::vector<double> values_;
  size_t front_ = 0;
  size_t back_ = 0;
};

}  // namespace

int64_t UsedSpace::States(const std::vector<Group>& groups, StageCount stages, int64_t limit) {
  return Radix(groups, stages).States(groups, limit);
}

UsedSpace::UsedSpace(const std::vector<Group>& groups, StageCount stages) : groups_(groups.size()) {
  const Radix radix(groups, stages);
  states_ = static_cast<int32_t>(radix.States(groups, std::numeric_limits<int32_t>::max() - 1));
  next_.assign(static_cast<size_t>(states_) * groups_, -1);
  holds_.assign(next_.size(), 0);
  complete_.assign(static_cast<size_t>(states_), 0);
  for (int32_t state = 0; state < states_; ++state) {
    const int32_t counted = state % (radix.counter + 1);
    int32_t rest = state / (radix.counter + 1);
    int32_t stride = radix.counter + 1;
    int32_t total = 0;
    bool all = true;
    for (size_t g = 0; g < groups_; ++g) {
      const size_t index = static_cast<size_t>(state) * groups_ + g;
      next_[index] = state + (counted < radix.counter ? 1 : 0);
      holds_[index] = 1;
      if (!groups[g].tracked) continue;
      const int32_t digit = rest % (groups[g].devices + 1);
      total += digit;
      holds_[index] = digit > 0;
      next_[index] = digit < groups[g].devices ? next_[index] + stride : -1;
      if (groups[g].required && digit < groups[g].devices) all = false;
      rest /= groups[g].devices + 1;
      stride *= groups[g].devices + 1;
    }
    const int32_t stages_so_far = radix.counter > 0 ? counted : total;
    complete_[static_cast<size_t>(state)] =
        all &&
        (!stages.limited() || (stages_so_far >= stages.least && stages_so_far <= stages.most));
    if (stages_so_far < stages.most) continue;
    const size_t row = static_cast<size_t>(state) * groups_;
    std::fill_n(&next_[row], groups_, -1);
    if (stages_so_far > stages.most) std::fill_n(&holds_[row], groups_, uint8_t{0});
  }
}

Completions::Completions(const CutGraph& graph, const UsedSpace& used)
    : graph_(graph), used_(used) {
  cost_.assign(static_cast<size_t>(used.states()) * static_cast<size_t>(graph.layers) *
                   static_cast<size_t>(graph.groups),
               kEndless);
  for (int32_t state = used.states() - 1; state >= 0; --state) FillState(state);
  for (int32_t begin = 0; begin < graph.layers; ++begin) {
    for (int32_t g = 0; g < graph.groups; ++g) best_ = std::min(best_, FromStart(g, begin));
  }
}

double Completions::FromStart(int32_t group, int32_t begin) const {
  const int32_t used = used_.next(0, group);
  if (used < 0) return kEndless;
  return graph_.start_s[graph_.At(begin, group, graph_.groups)] + cost(used, group, begin);
}

// Begins descend: the ends after a begin are known before it, also where `used` stays the same.
void Completions::FillState(int32_t used) {
  std::vector<int32_t> latest;
  std::vector<int32_t> open;
  std::vector<EndWindow> windows(static_cast<size_t>(graph_.groups));
  for (int32_t g = 0; g < graph_.groups; ++g) {
    if (used_.holds(used, g)) latest.push_back(g);
    if (used_.next(used, g) >= 0) open.push_back(g);
    windows[static_cast<size_t>(g)].Reset(static_cast<size_t>(graph_.layers));
  }
  std::vector<double> next_cost(open.size());
  const bool complete = used_.complete(used);
  for (int32_t begin = graph_.layers - 1; begin >= 0; --begin) {
    const int32_t end = begin + 1;
    if (end < graph_.layers) {
      for (size_t i = 0; i < open.size(); ++i) {
        next_cost[i] = cost(used_.next(used, open[i]), open[i], end);
      }
    }
    for (const int32_t g : latest) {
      EndWindow& window = windows[static_cast<size_t>(g)];
      if (end < graph_.layers) {
        double after = complete ? graph_.finish(g, end) : kEndless;
        const double* hops = graph_.hops(g, end);
        for (size_t i = 0; i < open.size(); ++i) {
          after = std::min(after, hops[open[i]] + next_cost[i]);
        }
        if (after < kEndless) window.Add(end, graph_.before(g, end) + after);
      }
      double least = window.Least(graph_.farthest[graph_.At(g, begin, graph_.layers)]);
      if (complete && graph_.allows(g, {begin, graph_.layers})) {
        least = std::min(least, graph_.before(g, graph_.layers) + graph_.finish(g, graph_.layers));
      }
      cost_[Index(used, g, begin)] =
          least + graph_.stage_s[static_cast<size_t>(g)] - graph_.before(g, begin);
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
