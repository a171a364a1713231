// The cheapest way to finish a model from any point, by dynamic programming: which groups of
// devices take the layers that are left, and where to cut.
//
// Costs here are sums over stages and hops; what a stage may hold (memory, a limit on its time) is
// a window of ends for each begin. Thresholds on the slowest stage or link therefore are windows
// and endless hops, which is how maxima are optimized (see plan_search.h).
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "partitioner/model_shape.h"

namespace shoal {

constexpr double kEndless = std::numeric_limits<double>::infinity();

// Setting a graph up costs about as much as this many hops in it.
constexpr double kGraphWork = 20;

// One question. Indices: group g, begin or end of a stage in layers. kEndless where not allowed.
struct CutGraph {
  int32_t groups = 0;
  int32_t layers = 0;
  std::vector<double> layers_s;   // [groups, layers + 1] of all layers before
  std::vector<double> stage_s;    // [groups] of any stage, whatever its size
  std::vector<double> start_s;    // [layers, groups] of what lies before a stage that is the first
                                  // of the groups' and begins here
  std::vector<double> finish_s;   // [groups, layers + 1] of what follows a last stage's end
  std::vector<int32_t> farthest;  // [groups, layers] end of a stage; never decreases with begin
  std::vector<int32_t> tail_begin;  // [groups] least begin of a stage that ends the model
  std::vector<int32_t> hop_class;   // [layers] of a boundary: those that cost the same
  std::vector<double> hop_s;        // [classes, groups (from), groups (to)]

  size_t At(int32_t row, int32_t column, int32_t columns) const {
    return static_cast<size_t>(row) * static_cast<size_t>(columns) + static_cast<size_t>(column);
  }
  // [groups (to)]
  const double* hops(int32_t from, int32_t boundary) const {
    const int32_t row = hop_class[static_cast<size_t>(boundary)] * groups + from;
    return &hop_s[At(row, 0, groups)];
  }
  double hop(int32_t from, int32_t to, int32_t boundary) const { return hops(from, boundary)[to]; }
  double before(int32_t group, int32_t layer) const {
    return layers_s[At(group, layer, layers + 1)];
  }
  double finish(int32_t group, int32_t end) const { return finish_s[At(group, end, layers + 1)]; }
  // Layers.
  int32_t LongestStage(int32_t group) const;
  // Whether one stage may hold this.
  bool allows(int32_t group, StageRange range) const {
    if (range.end == layers) return range.begin >= tail_begin[static_cast<size_t>(group)];
    return range.end <= farthest[At(group, range.begin, layers)];
  }
};

// How many stages a plan may have.
struct StageCount {
  int32_t least = 1;
  int32_t most = std::numeric_limits<int32_t>::max();

  bool limited() const { return least > 1 || most < std::numeric_limits<int32_t>::max(); }
};

// What is remembered of the devices used so far: a number. Groups that are not tracked may be used
// any number of times, which makes the answer a lower bound.
class UsedSpace {
 public:
  struct Group {
    int32_t devices = 1;
    bool tracked = true;
    bool required = false;  // all of its devices; counts where it is tracked
  };
  UsedSpace(const std::vector<Group>& groups, StageCount stages);
  // How many states there would be; `limit` + 1 if more than that.
  static int64_t States(const std::vector<Group>& groups, StageCount stages, int64_t limit);

  int32_t states() const { return states_; }
  // After one device more of the group; -1 if that is not allowed.
  int32_t next(int32_t used, int32_t group) const { return next_[Index(used, group)]; }
  // Whether a device of the group may be the latest one.
  bool holds(int32_t used, int32_t group) const { return holds_[Index(used, group)] != 0; }
  bool complete(int32_t used) const { return complete_[static_cast<size_t>(used)] != 0; }
  const std::vector<Group>& groups() const { return groups_; }
  // Devices of a tracked group that are used.
  int32_t count(int32_t used, int32_t group) const { return counts_[Index(used, group)]; }
  int32_t stages_left(int32_t used) const { return stages_left_[static_cast<size_t>(used)]; }

 private:
  size_t Index(int32_t used, int32_t group) const {
    return static_cast<size_t>(used) * groups_.size() + static_cast<size_t>(group);
  }

  std::vector<Group> groups_;
  int32_t states_;
  std::vector<int32_t> counts_;
  std::vector<int32_t> stages_left_;
  std::vector<int32_t> next_;
  std::vector<uint8_t> holds_;
  std::vector<uint8_t> complete_;
};

struct GroupStage {
  int32_t group = 0;
  StageRange layers;
};

// The lowest value among the ends that a begin's window allows, while begins descend.
class EndWindow {
 public:
  void Reset(int32_t layers);
  // REQUIRES that ends descend.
  void Add(int32_t end, double value);
  // kEndless if there is none. REQUIRES that `farthest` never rises.
  double Least(int32_t farthest);

 private:
  std::vector<int32_t> ends_;
  std::vector<double> values_;
  size_t front_ = 0;
  size_t back_ = 0;
};

// Every point's cheapest completion. Immutable. `graph` and `used` outlive it.
// Time O(states * layers * groups^2), memory 8 bytes * states * layers * groups.
class Completions {
 public:
  Completions(const CutGraph& graph, const UsedSpace& used);

  // Cost from the begin of a stage of `group` at `begin` to the end; `used` counts it already.
  double cost(int32_t used, int32_t group, int32_t begin) const {
    return cost_[Index(used, group, begin)];
  }
  // Of the cheapest path; kEndless if there is none.
  double best() const { return best_; }
  // The cheapest path. REQUIRES best() < kEndless.
  std::vector<GroupStage> Path() const;

 private:
  struct Point {
    int32_t used = 0;
    int32_t group = -1;
    int32_t begin = 0;
  };

  size_t Index(int32_t used, int32_t group, int32_t begin) const {
    const size_t row =
        static_cast<size_t>(used) * static_cast<size_t>(graph_.groups) + static_cast<size_t>(group);
    return row * static_cast<size_t>(graph_.layers) + static_cast<size_t>(begin);
  }
  void MeasureReach();
  // Begins of stages that can be part of a path: what the used devices can hold lies before, and
  // what the others can hold after.
  StageRange Begins(int32_t used) const;
  void FillState(int32_t used);
  // The least cost of what follows a stage of `group` that ends here: the first for all of `ends`,
  // which become after_[end]; the second REQUIRES then_ of this end.
  void MeasureAfter(int32_t used, int32_t group, StageRange ends);
  double After(int32_t used, int32_t group, int32_t end) const;
  void Descend(int32_t used, int32_t group, int32_t begin, double after);
  double FromStart(int32_t group, int32_t begin) const;
  Point First() const;

  const CutGraph& graph_;
  const UsedSpace& used_;
  std::unique_ptr<double[]> cost_;  // [states, groups, layers]
  std::vector<int32_t> longest_;    // [groups] layers of a stage
  int32_t longest_of_all_ = 0;
  int32_t layers_at_start_ = 0;  // that may lie before the groups' first stage, and after the last
  int32_t layers_at_finish_ = 0;
  std::vector<StageRange> same_hops_;  // boundaries in a row whose hops cost the same
  // Of the state being filled:
  std::vector<int32_t> open_;  // groups of which a device may follow
  std::vector<double> then_;   // [open_] cost of a stage of each that begins at one layer
  StageRange begins_;
  std::vector<double> after_;       // [layers]
  std::vector<EndWindow> windows_;  // [groups]
  double best_ = kEndless;
};

}  // namespace shoal
