// A problem's objective as the planner searches it, for one number of steps in flight:
//
//   objective = additive + prefill_weight * slowest_prefill
//                        + batch_weight * max(total_batch / in_flight, slowest_batch)
//
// additive and total_batch are sums over stages and hops, the slowest ones maxima over devices and
// links (partitioner/cost_model.h). Thresholds on the maxima, together with memory, are windows of
// a CutGraph.
#pragma once

#include <cstdint>
#include <vector>

#include "partitioner/cost_model.h"
#include "partitioner/cut_graph.h"
#include "partitioner/plan.h"
#include "partitioner/search_space.h"

namespace shoal {

struct PathCost {
  double additive_s = 0;
  double total_batch_s = 0;
  double slowest_prefill_s = 0;
  double slowest_batch_s = 0;

  void Add(const PathCost& other);  // sums of sums, maxima of maxima
};

// No device or link may be busier than this for one step; the first part of a device that holds
// both ends has `least_first` to `most_first` layers.
struct SearchLimits {
  double prefill_s = kEndless;
  double batch_s = kEndless;
  int32_t least_first = 1;
  int32_t most_first = 1;
};

// `problem` and `space` outlive it; the order of the space's groups may change between calls.
class SearchCosts {
 public:
  // REQUIRES 1 <= in_flight <= sessions.
  SearchCosts(const PlanProblem& problem, const SearchSpace& space, int32_t in_flight);

  double prefill_weight() const { return prefill_weight_; }
  double batch_weight() const { return batch_weight_; }
  int32_t in_flight() const { return in_flight_; }
  // Whether the slowest stage, apart from the total, can decide the period.
  bool has_slowest_batch() const { return batch_weight_ > 0 && in_flight_ > 1; }
  double Value(const PathCost& cost) const;

  // Of devices, by index into the cluster.
  PathCost Stage(int32_t device, StageRange range) const;
  PathCost Hop(int32_t from, int32_t to, int32_t boundary) const;
  PathCost FromCoordinator(int32_t device) const;
  PathCost ToCoordinator(int32_t device) const;
  // Of what lies before a first stage of a group that begins here, between two stages of groups,
  // and after a last one that ends here: the coordinator's hops, and the parts of the device at
  // both ends, whose first one has `begin` or `first_layers` layers.
  PathCost BeforeGroups(int32_t group, int32_t begin) const;
  PathCost GroupHop(int32_t from, int32_t to, int32_t boundary) const;
  PathCost AfterGroups(int32_t group, int32_t end, int32_t first_layers) const;
  // Of a whole plan.
  PathCost Measure(const std::vector<Placement>& placements) const;
  // As one stage.
  bool Fits(int32_t device, StageRange range, const SearchLimits& limits) const;

  // Whether both parts of the device at both ends fit its memory.
  bool BothFit(StageRange first, StageRange last) const;

  // Costs are additive + total_share * batch_weight * total_batch / in_flight of the plans within
  // the limits, but for the parts that a device at both ends shares: its last one is allowed
  // whatever `least_first` layers leave room for, and every first one of `least_first` to
  // `most_first` layers is.
  CutGraph Graph(const SearchLimits& limits, double total_share) const;

  // The group's device that stands for all of them, and another one after it, if there is one.
  int32_t device(int32_t group) const {
    return space_.groups[static_cast<size_t>(group)].devices.front();
  }
  int32_t neighbour(int32_t group) const {
    return space_.groups[static_cast<size_t>(group)].devices.back();
  }

 private:
  double Sum(const PathCost& cost, double total_share) const;
  int64_t NeededBytes(StageRange range) const;
  bool MayStart(int32_t group) const;
  bool MayFinish(int32_t group) const;
  bool MayFollow(int32_t from, int32_t to) const;
  bool SkipsRequired(int32_t first, int32_t end) const;
  PathCost Head(int32_t device) const;
  double HopWithin(int32_t from, int32_t to, int32_t boundary, const SearchLimits& limits,
                   double total_share) const;
  void FillStages(const SearchLimits& limits, double total_share, CutGraph& graph) const;
  void FillHops(const SearchLimits& limits, double total_share, CutGraph& graph) const;
  void FillEnds(double total_share, CutGraph& graph) const;
  void FillBothEnds(const SearchLimits& limits, double total_share, CutGraph& graph) const;
  // What `limits` leave to the last part of the device at both ends.
  bool FitsLast(StageRange last, const SearchLimits& limits) const;

  const PlanProblem& problem_;
  const SearchSpace& space_;
  int32_t in_flight_;
  double prefill_weight_;
  double batch_weight_;
  StepCosts decode_;
  StepCosts prefill_;
  StepCosts batch_;
  std::vector<int64_t> held_bytes_;      // [layers + 1] weights and KV of all layers before
  std::vector<int32_t> hop_class_;       // [layers]
  std::vector<int32_t> class_boundary_;  // [classes] a boundary of each
};

}  // namespace shoal
