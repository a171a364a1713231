#include "partitioner/search_costs.h"

#include <algorithm>
#include <map>

namespace shoal {

namespace {

// Among equal plans the one with fewer stages: each stage is charged with so much of what the
// whole model costs, which is far below what the predictions can tell.
constexpr double kStagePenalty = 1e-13;

StepShape Batch(const Workload& workload, int32_t in_flight) {
  return BatchedDecodeStep(workload, in_flight);
}

}  // namespace

void PathCost::Add(const PathCost& other) {
  additive_s += other.additive_s;
  total_batch_s += other.total_batch_s;
  slowest_prefill_s = std::max(slowest_prefill_s, other.slowest_prefill_s);
  slowest_batch_s = std::max(slowest_batch_s, other.slowest_batch_s);
}

SearchCosts::SearchCosts(const PlanProblem& problem, const SearchSpace& space, int32_t in_flight)
    : problem_(problem),
      space_(space),
      in_flight_(in_flight),
      prefill_weight_(problem.objective.first_token_weight * (PrefillChunks(problem.workload) - 1)),
      batch_weight_(problem.objective.period_weight / Batch(problem.workload, in_flight).tokens),
      decode_(problem, DecodeStep(problem.workload)),
      prefill_(problem, PrefillStep(problem.workload)),
      batch_(problem, Batch(problem.workload, in_flight)) {
  const ModelShape& model = problem.model;
  held_bytes_.push_back(0);
  std::map<int64_t, int32_t> classes;
  for (int32_t i = 0; i < model.layer_count(); ++i) {
    const LayerShape& layer = model.layers[static_cast<size_t>(i)];
    held_bytes_.push_back(held_bytes_.back() + ResidentBytes(layer.weights) + layer.vector_bytes +
                          layer.kv_bytes_per_token * problem.workload.kv_tokens);
    if (i == 0) {
      hop_class_.push_back(0);  // there is no hop before the first layer
      continue;
    }
    const int64_t sent = model.layers[static_cast<size_t>(i) - 1].activation_bytes;
    const auto known = static_cast<int32_t>(classes.size());
    hop_class_.push_back(classes.try_emplace(sent, known).first->second);
    if (hop_class_.back() == known) class_boundary_.push_back(i);
  }
}

double SearchCosts::Value(const PathCost& cost) const {
  return cost.additive_s + prefill_weight_ * cost.slowest_prefill_s +
         batch_weight_ * std::max(cost.total_batch_s / in_flight_, cost.slowest_batch_s);
}

double SearchCosts::Sum(const PathCost& cost, double total_share) const {
  return cost.additive_s + total_share * batch_weight_ / in_flight_ * cost.total_batch_s;
}

PathCost SearchCosts::Stage(int32_t device, StageRange range) const {
  const Objective& weights = problem_.objective;
  const double prefill_s = prefill_.stage_s(device, range);
  const double batch_s = batch_.stage_s(device, range);
  const bool last = range.end == problem_.model.layer_count();
  return {weights.decode_weight * decode_.stage_s(device, range) +
              weights.first_token_weight * (prefill_s + (last ? prefill_.head_s(device) : 0)),
          batch_s, prefill_s, batch_s};
}

PathCost SearchCosts::Head(int32_t device) const {
  const Objective& weights = problem_.objective;
  return {weights.decode_weight * decode_.head_s(device) +
              weights.first_token_weight * prefill_.head_s(device),
          batch_.head_s(device), 0, 0};
}

PathCost SearchCosts::Hop(int32_t from, int32_t to, int32_t boundary) const {
  const Objective& weights = problem_.objective;
  return {weights.decode_weight * decode_.hop_s(from, to, boundary) +
              weights.first_token_weight * prefill_.hop_s(from, to, boundary),
          batch_.hop_s(from, to, boundary), prefill_.occupancy_s(from, to, boundary),
          batch_.occupancy_s(from, to, boundary)};
}

PathCost SearchCosts::FromCoordinator(int32_t device) const {
  const double hop_s = decode_.control_hop_s(problem_.cluster.coordinator(), device);
  const Objective& weights = problem_.objective;
  return {(weights.decode_weight + weights.first_token_weight) * hop_s, hop_s, 0, 0};
}

PathCost SearchCosts::ToCoordinator(int32_t device) const {
  const double hop_s = decode_.control_hop_s(device, problem_.cluster.coordinator());
  const Objective& weights = problem_.objective;
  return {(weights.decode_weight + weights.first_token_weight) * hop_s, hop_s, 0, 0};
}

PathCost SearchCosts::BeforeGroups(int32_t group, int32_t begin) const {
  const int32_t ends = space_.both_ends;
  if (ends < 0) return FromCoordinator(device(group));
  PathCost cost = FromCoordinator(ends);
  cost.Add(Stage(ends, {0, begin}));
  cost.Add(Hop(ends, device(group), begin));
  return cost;
}

PathCost SearchCosts::GroupHop(int32_t from, int32_t to, int32_t boundary) const {
  return Hop(device(from), from == to ? neighbour(to) : device(to), boundary);
}

PathCost SearchCosts::AfterGroups(int32_t group, int32_t end, int32_t first_layers) const {
  const int32_t ends = space_.both_ends;
  if (ends < 0) return ToCoordinator(device(group));
  PathCost cost = Hop(device(group), ends, end);
  const PathCost first = Stage(ends, {0, first_layers});
  PathCost last = Stage(ends, {end, problem_.model.layer_count()});
  last.slowest_prefill_s += first.slowest_prefill_s;
  last.slowest_batch_s += first.slowest_batch_s;
  cost.Add(last);
  cost.Add(ToCoordinator(ends));
  return cost;
}

PathCost SearchCosts::Measure(const std::vector<Placement>& placements) const {
  PathCost cost = FromCoordinator(placements.front().device);
  cost.Add(ToCoordinator(placements.back().device));
  for (size_t i = 0; i < placements.size(); ++i) {
    cost.Add(Stage(placements[i].device, placements[i].layers));
    if (i + 1 == placements.size()) break;
    cost.Add(Hop(placements[i].device, placements[i + 1].device, placements[i].layers.end));
  }
  if (placements.size() > 1 && placements.front().device == placements.back().device) {
    const PathCost first = Stage(placements.front().device, placements.front().layers);
    const PathCost last = Stage(placements.back().device, placements.back().layers);
    cost.slowest_prefill_s =
        std::max(cost.slowest_prefill_s, first.slowest_prefill_s + last.slowest_prefill_s);
    cost.slowest_batch_s =
        std::max(cost.slowest_batch_s, first.slowest_batch_s + last.slowest_batch_s);
  }
  return cost;
}

int64_t SearchCosts::NeededBytes(StageRange range) const {
  StageMemory memory;
  memory.buffer_bytes = MemoryOf(problem_, {0, 0}).buffer_bytes;
  memory.weight_bytes +=
      held_bytes_[static_cast<size_t>(range.end)] - held_bytes_[static_cast<size_t>(range.begin)];
  if (range.begin == 0) memory.weight_bytes += ResidentBytes(problem_.model.embedding);
  if (range.end == problem_.model.layer_count()) {
    memory.weight_bytes += ResidentBytes(problem_.model.head);
  }
  return memory.needed_bytes();
}

bool SearchCosts::Fits(int32_t device, StageRange range, const SearchLimits& limits) const {
  return NeededBytes(range) <= problem_.cluster.devices[static_cast<size_t>(device)].memory_bytes &&
         prefill_.stage_s(device, range) <= limits.prefill_s &&
         batch_.stage_s(device, range) <= limits.batch_s;
}

bool SearchCosts::BothFit(StageRange first, StageRange last) const {
  const auto device = static_cast<size_t>(space_.both_ends);
  return NeededBytes(first) + NeededBytes(last) <= problem_.cluster.devices[device].memory_bytes;
}

bool SearchCosts::FitsLast(StageRange last, const SearchLimits& limits) const {
  const int32_t device = space_.both_ends;
  const StageRange first = {0, limits.least_first};
  return BothFit(first, last) &&
         prefill_.stage_s(device, first) + prefill_.stage_s(device, last) <= limits.prefill_s &&
         batch_.stage_s(device, first) + batch_.stage_s(device, last) <= limits.batch_s;
}

CutGraph SearchCosts::Graph(const SearchLimits& limits, double total_share) const {
  CutGraph graph;
  graph.groups = static_cast<int32_t>(space_.groups.size());
  graph.layers = problem_.model.layer_count();
  graph.hop_class = hop_class_;
  FillStages(limits, total_share, graph);
  FillHops(limits, total_share, graph);
  const auto groups = static_cast<size_t>(graph.groups);
  graph.start_s.assign(static_cast<size_t>(graph.layers) * groups, kEndless);
  graph.finish_s.assign(groups * (static_cast<size_t>(graph.layers) + 1), kEndless);
  if (space_.both_ends >= 0) {
    FillBothEnds(limits, total_share, graph);
  } else {
    FillEnds(total_share, graph);
  }
  return graph;
}

void SearchCosts::FillStages(const SearchLimits& limits, double total_share,
                             CutGraph& graph) const {
  const Objective& weights = problem_.objective;
  const int32_t layers = graph.layers;
  double whole_s = kEndless;
  for (int32_t g = 0; g < graph.groups; ++g) {
    const int32_t d = device(g);
    for (int32_t end = 0; end <= layers; ++end) {
      const double sum = weights.decode_weight * decode_.layers_s(d, {0, end}) +
                         weights.first_token_weight * prefill_.layers_s(d, {0, end}) +
                         total_share * batch_weight_ / in_flight_ * batch_.layers_s(d, {0, end});
      graph.layers_s.push_back(sum);
    }
    whole_s = std::min(whole_s, graph.layers_s.back());
    int32_t tail = layers;
    while (tail > 0 && Fits(d, {tail - 1, layers}, limits)) --tail;
    graph.tail_begin.push_back(tail);
    int32_t end = 0;
    for (int32_t begin = 0; begin < layers; ++begin) {
      end = std::max(end, begin);
      while (end + 1 < layers && Fits(d, {begin, end + 1}, limits)) ++end;
      graph.farthest.push_back(end);
    }
  }
  for (int32_t g = 0; g < graph.groups; ++g) {
    const double step_s = decode_.step_s(device(g));
    graph.stage_s.push_back((weights.decode_weight + weights.first_token_weight +
                             total_share * batch_weight_ / in_flight_) *
                                step_s +
                            kStagePenalty * whole_s);
  }
}

// With an order to keep, no required group may be passed over.
bool SearchCosts::SkipsRequired(int32_t first, int32_t end) const {
  if (!space_.ordered) return false;
  return std::any_of(space_.groups.begin() + first, space_.groups.begin() + end,
                     [](const DeviceGroup& group) { return group.required; });
}

bool SearchCosts::MayStart(int32_t group) const {
  const int32_t first = problem_.constraints.first;
  return (first == -1 || first == device(group)) && !SkipsRequired(0, group);
}

bool SearchCosts::MayFinish(int32_t group) const {
  const int32_t last = problem_.constraints.last;
  return (last == -1 || last == device(group)) &&
         !SkipsRequired(group + 1, static_cast<int32_t>(space_.groups.size()));
}

bool SearchCosts::MayFollow(int32_t from, int32_t to) const {
  if (from == to) return device(from) != neighbour(from) && !space_.ordered;
  return !space_.ordered || (from < to && !SkipsRequired(from + 1, to));
}

double SearchCosts::HopWithin(int32_t from, int32_t to, int32_t boundary,
                              const SearchLimits& limits, double total_share) const {
  if (!problem_.cluster.link(from, to).usable) return kEndless;
  const PathCost hop = Hop(from, to, boundary);
  const bool within =
      hop.slowest_prefill_s <= limits.prefill_s && hop.slowest_batch_s <= limits.batch_s;
  return within ? Sum(hop, total_share) : kEndless;
}

void SearchCosts::FillHops(const SearchLimits& limits, double total_share, CutGraph& graph) const {
  for (const int32_t boundary : class_boundary_) {
    for (int32_t from = 0; from < graph.groups; ++from) {
      for (int32_t to = 0; to < graph.groups; ++to) {
        const int32_t a = device(from);
        const int32_t b = from == to ? neighbour(to) : device(to);
        graph.hop_s.push_back(MayFollow(from, to) ? HopWithin(a, b, boundary, limits, total_share)
                                                  : kEndless);
      }
    }
  }
}

void SearchCosts::FillEnds(double total_share, CutGraph& graph) const {
  const Cluster& cluster = problem_.cluster;
  for (int32_t g = 0; g < graph.groups; ++g) {
    const int32_t d = device(g);
    if (MayStart(g) && cluster.link(cluster.coordinator(), d).usable) {
      graph.start_s[graph.At(0, g, graph.groups)] = Sum(FromCoordinator(d), total_share);
    }
    if (MayFinish(g) && cluster.link(d, cluster.coordinator()).usable) {
      graph.finish_s[graph.At(g, graph.layers, graph.layers + 1)] =
          Sum(ToCoordinator(d), total_share) + Sum(Head(d), total_share);
    }
  }
}

void SearchCosts::FillBothEnds(const SearchLimits& limits, double total_share,
                               CutGraph& graph) const {
  const Cluster& cluster = problem_.cluster;
  const int32_t ends = space_.both_ends;
  if (!cluster.link(cluster.coordinator(), ends).usable ||
      !cluster.link(ends, cluster.coordinator()).usable) {
    return;
  }
  for (int32_t begin = limits.least_first; begin <= limits.most_first; ++begin) {
    if (!Fits(ends, {0, begin}, limits)) break;
    PathCost before = FromCoordinator(ends);
    before.Add(Stage(ends, {0, begin}));
    for (int32_t g = 0; g < graph.groups; ++g) {
      graph.start_s[graph.At(begin, g, graph.groups)] =
          Sum(before, total_share) + HopWithin(ends, device(g), begin, limits, total_share);
    }
  }
  for (int32_t end = graph.layers - 1; end > limits.least_first; --end) {
    if (!FitsLast({end, graph.layers}, limits)) break;
    PathCost after = ToCoordinator(ends);
    after.Add(Stage(ends, {end, graph.layers}));
    for (int32_t g = 0; g < graph.groups; ++g) {
      graph.finish_s[graph.At(g, end, graph.layers + 1)] =
          Sum(after, total_share) + HopWithin(device(g), ends, end, limits, total_share);
    }
  }
}

}  // namespace shoal
