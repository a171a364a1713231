#include "partitioner/strategies/subset_dp.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "partitioner/cost_model.h"
#include "partitioner/strategies/chain.h"

namespace shoal {

namespace {

constexpr double kEndless = std::numeric_limits<double>::infinity();
constexpr int64_t kMaxTransitions = 2'000'000'000;

// Devices that can be exchanged for each other: equal but for their names, with equal links.
bool Alike(const Cluster& cluster, int32_t a, int32_t b) {
  DeviceProfile profile = cluster.devices[static_cast<size_t>(a)];
  profile.name = cluster.devices[static_cast<size_t>(b)].name;
  if (!(profile == cluster.devices[static_cast<size_t>(b)])) return false;
  if (!(cluster.link(a, b) == cluster.link(b, a))) return false;
  for (int32_t other = 0; other < cluster.endpoint_count(); ++other) {
    if (other == a || other == b) continue;
    if (!(cluster.link(a, other) == cluster.link(b, other))) return false;
    if (!(cluster.link(other, a) == cluster.link(other, b))) return false;
  }
  return true;
}

// Pinned devices stand alone.
std::vector<std::vector<int32_t>> Groups(const PlanProblem& problem, int32_t source) {
  std::vector<std::vector<int32_t>> groups;
  const int32_t last = problem.constraints.last;
  for (const int32_t device : UsableDevices(problem)) {
    const bool alone = device == source || device == last;
    const auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& members) {
      const int32_t other = members.front();
      return !alone && other != source && other != last && Alike(problem.cluster, other, device);
    });
    if (group == groups.end()) {
      groups.push_back({device});
    } else {
      group->push_back(device);
    }
  }
  return groups;
}

class BottleneckDp {
 public:
  BottleneckDp(const PlanProblem& problem, const BottleneckRules& rules)
      : problem_(problem),
        rules_(rules),
        groups_(Groups(problem, rules.source)),
        costs_(problem, BatchedDecodeStep(problem.workload,
                                          static_cast<int32_t>(UsableDevices(problem).size()))),
        layers_(problem.model.layer_count()),
        returns_(problem.constraints.first != -1 &&
                 problem.constraints.first == problem.constraints.last && layers_ > 1),
        end_(returns_ ? layers_ - 1 : layers_) {
    sets_ = 1;
    for (const auto& members : groups_) {
      strides_.push_back(sets_);
      sets_ *= static_cast<int64_t>(members.size()) + 1;
      if (sets_ > kMaxTransitions) break;
    }
  }

  int64_t Transitions() const {
    const auto groups = static_cast<int64_t>(groups_.size());
    const int64_t per_set = groups * groups * layers_ * (layers_ + 1) / 2;
    return sets_ > kMaxTransitions / per_set ? kMaxTransitions + 1 : sets_ * per_set;
  }

  size_t group_count() const { return groups_.size(); }

  std::vector<Placement> Best() {
    const auto groups = static_cast<int64_t>(groups_.size());
    states_.assign(static_cast<size_t>((end_ + 1) * sets_ * groups), State{});
    MeasureReach();
    for (int64_t g = 0; g < groups; ++g) Begin(g);
    for (int32_t begin = 1; begin < end_; ++begin) {
      for (int64_t set = 0; set < sets_; ++set) {
        for (int64_t last = 0; last < groups; ++last) {
          const double seconds = At(begin, set, last).seconds;
          if (seconds < best_) Extend(begin, set, last, seconds);
        }
      }
    }
    return best_ < kEndless ? Traced() : std::vector<Placement>();
  }

 private:
  struct State {
    double seconds = kEndless;
    int32_t begin = 0;    // of the last stage
    int32_t before = -1;  // group of the stage before
  };

  State& At(int32_t layers, int64_t set, int64_t last) {
    return states_[static_cast<size_t>(
        (layers * sets_ + set) * static_cast<int64_t>(groups_.size()) + last)];
  }
  int32_t DeviceOf(int64_t group) const { return groups_[static_cast<size_t>(group)].front(); }
  int64_t Used(int64_t set, int64_t group) const {
    const auto index = static_cast<size_t>(group);
    return set / strides_[index] % (static_cast<int64_t>(groups_[index].size()) + 1);
  }

  // How far a stage of each group that begins at a layer can reach within memory.
  void MeasureReach() {
    reach_.assign(groups_.size(), std::vector<int32_t>(static_cast<size_t>(end_), 0));
    for (size_t group = 0; group < groups_.size(); ++group) {
      const int32_t device = DeviceOf(static_cast<int64_t>(group));
      const int64_t memory = problem_.cluster.devices[static_cast<size_t>(device)].memory_bytes -
                             (returns_ && device == rules_.source
                                  ? MemoryOf(problem_, {layers_ - 1, layers_}).needed_bytes()
                                  : 0);
      int32_t end = 0;
      for (int32_t begin = 0; begin < end_; ++begin) {
        end = std::max(end, begin);
        while (end < end_ && MemoryOf(problem_, {begin, end + 1}).needed_bytes() <= memory) ++end;
        reach_[group][static_cast<size_t>(begin)] = end;
      }
    }
  }

  void Begin(int64_t group) {
    const int32_t device = DeviceOf(group);
    if (rules_.source != -1 && device != rules_.source) return;
    if (!problem_.cluster.link(problem_.cluster.coordinator(), device).usable) return;
    const int32_t reach = reach_[static_cast<size_t>(group)][0];
    for (int32_t end = 1; end <= reach; ++end) {
      Offer(end, strides_[static_cast<size_t>(group)], group,
            {costs_.stage_s(device, {0, end}), 0, -1});
    }
  }

  void Extend(int32_t begin, int64_t set, int64_t last, double seconds) {
    const int32_t from = DeviceOf(last);
    if (!returns_ && from == problem_.constraints.last) return;
    for (int64_t group = 0; group < static_cast<int64_t>(groups_.size()); ++group) {
      const auto index = static_cast<size_t>(group);
      if (Used(set, group) == static_cast<int64_t>(groups_[index].size())) continue;
      // Of a group, the next member: a link to itself is that to a sibling.
      const int32_t to = group == last ? groups_[index].back() : DeviceOf(group);
      if (!problem_.cluster.link(from, to).usable) continue;
      const double sent = std::max(seconds, LinkSeconds(from, to, begin));
      if (!(sent < best_)) continue;
      const int32_t reach = reach_[index][static_cast<size_t>(begin)];
      for (int32_t end = begin + 1; end <= reach; ++end) {
        const double all = std::max(sent, costs_.stage_s(to, {begin, end}));
        if (!(all < best_)) break;
        Offer(end, set + strides_[index], group, {all, begin, static_cast<int32_t>(last)});
      }
    }
  }

  double LinkSeconds(int32_t from, int32_t to, int32_t boundary) const {
    return rules_.latency_counts ? costs_.hop_s(from, to, boundary)
                                 : costs_.occupancy_s(from, to, boundary);
  }

  void Offer(int32_t end, int64_t set, int64_t group, const State& offer) {
    State& state = At(end, set, group);
    if (!(offer.seconds < state.seconds)) return;
    state = offer;
    if (end < end_) return;
    const double whole = std::max(offer.seconds, SecondsToEnd(DeviceOf(group)));
    if (!(whole < best_)) return;
    best_ = whole;
    best_set_ = set;
    best_group_ = group;
  }

  // What is left when all layers but those pinned to the source are placed.
  double SecondsToEnd(int32_t device) const {
    if (returns_) {
      if (device == rules_.source) {
        return costs_.stage_s(device, {0, layers_});
      }
      if (!problem_.cluster.link(device, rules_.source).usable) return kEndless;
      return LinkSeconds(device, rules_.source, layers_ - 1);
    }
    const int32_t last = problem_.constraints.last;
    const bool ends = (last == -1 || last == device) &&
                      problem_.cluster.link(device, problem_.cluster.coordinator()).usable;
    return ends ? 0 : kEndless;
  }

  std::vector<Placement> Traced() {
    std::vector<Placement> stages;
    int32_t end = end_;
    int64_t set = best_set_;
    for (int64_t group = best_group_; group >= 0;) {
      const State state = At(end, set, group);
      const int64_t member = Used(set, group) - 1;
      stages.push_back(
          {groups_[static_cast<size_t>(group)][static_cast<size_t>(member)], {state.begin, end}});
      set -= strides_[static_cast<size_t>(group)];
      end = state.begin;
      group = state.before;
    }
    std::reverse(stages.begin(), stages.end());
    if (returns_ && stages.size() == 1) {
      stages.back().layers.end = layers_;
    } else if (returns_) {
      stages.push_back({rules_.source, {layers_ - 1, layers_}});
    }
    return stages;
  }

  const PlanProblem& problem_;
  const BottleneckRules& rules_;
  std::vector<std::vector<int32_t>> groups_;
  StepCosts costs_;
  int32_t layers_;
  bool returns_;  // the source also holds the last layer
  int32_t end_;   // layers that the search places
  std::vector<int64_t> strides_;
  int64_t sets_ = 1;
  std::vector<std::vector<int32_t>> reach_;  // [groups, begin]
  std::vector<State> states_;                // [end_ + 1, sets_, groups]
  double best_ = kEndless;
  int64_t best_set_ = 0;
  int64_t best_group_ = -1;
};

}  // namespace

Result<Plan> PlaceByBottleneck(const PlanProblem& problem, const BottleneckRules& rules,
                               std::string_view strategy) {
  BottleneckDp search(problem, rules);
  if (search.Transitions() > kMaxTransitions) {
    return ResourceExhausted(fmt::format("{}: {} kinds of devices are too many to try all sets of",
                                         strategy, search.group_count()));
  }
  const std::vector<Placement> placements = search.Best();
  if (placements.empty()) {
    return ResourceExhausted(
        fmt::format("no set of devices holds all {} layers with KV for {} tokens",
                    problem.model.layer_count(), problem.workload.kv_tokens));
  }
  return EvaluatePlan(problem, placements, std::string(strategy));
}

}  // namespace shoal
