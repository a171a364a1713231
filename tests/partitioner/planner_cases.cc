#include "tests/partitioner/planner_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "partitioner/cost_model.h"

namespace shoal {

namespace {

class Dice {
 public:
  explicit Dice(std::mt19937& random) : random_(random) {}
  int32_t In(int32_t least, int32_t most) {
    return least + static_cast<int32_t>(random_() % static_cast<uint32_t>(most - least + 1));
  }
  bool OneIn(int32_t sides) { return In(1, sides) == 1; }
  // Between these, evenly by magnitude.
  double Scale(double least, double most) {
    return least * std::pow(most / least, static_cast<double>(random_() % 10001) / 10000);
  }

 private:
  std::mt19937& random_;
};

ModelShape RandomModel(Dice& dice, int32_t layers) {
  ModelShape model;
  const bool experts = dice.OneIn(4);
  const bool even = dice.OneIn(2);
  const int32_t bytes = dice.In(1, 1000);
  for (int32_t i = 0; i < layers; ++i) {
    LayerShape layer;
    layer.weights = {{"Q4_0", even ? bytes : dice.In(0, 1000), 0, 2}};
    if (experts) layer.weights.push_back({"Q8_0", dice.In(1, 1000), 0, 3, 8, 2});
    layer.vector_bytes = dice.In(0, 10);
    layer.kv_bytes_per_token = even ? 2 : dice.In(0, 4);
    layer.attention_macs_per_position = dice.In(0, 20);
    layer.elementwise_values = dice.In(0, 20);
    layer.activation_bytes = even ? 64 : dice.In(0, 128);
    model.layers.push_back(layer);
  }
  model.embedding = {{"Q8_0", dice.In(0, 1500), 0, 1}};
  model.head = {{"Q8_0", dice.In(0, 1500), 0, 1}};
  model.buffer_bytes_per_token = dice.In(0, 2);
  return model;
}

DeviceProfile RandomDevice(Dice& dice, const ModelShape& model, double memory_share) {
  DeviceProfile device;
  int64_t all = ResidentBytes(model.embedding) + ResidentBytes(model.head);
  for (const LayerShape& layer : model.layers) all += ResidentBytes(layer.weights) + 400;
  device.memory_bytes = static_cast<int64_t>(static_cast<double>(all) * memory_share);
  const double speed = dice.Scale(1e4, 1e6);
  device.speeds = {{"Q4_0", {{1, speed}, {8, speed / 3}}}, {"*", {{1, speed / 2}}}};
  device.attention_decode_macs_per_s = dice.OneIn(2) ? 0 : dice.Scale(1e5, 1e7);
  device.elementwise_values_per_s = dice.OneIn(2) ? 0 : dice.Scale(1e5, 1e7);
  device.matrix_s = dice.OneIn(2) ? 0 : 1e-4;
  device.layer_s = dice.OneIn(2) ? 0 : 1e-4;
  device.step_s = dice.OneIn(2) ? 0 : dice.Scale(1e-4, 1e-2);
  if (dice.OneIn(8)) {
    for (size_t i = 0; i < model.layers.size(); ++i) {
      device.given_layer_s.push_back(dice.Scale(1e-4, 1e-2));
    }
  }
  return device;
}

Cluster RandomCluster(Dice& dice, const ModelShape& model, const CaseSize& size) {
  const double memory_share = dice.OneIn(4) ? 10 : dice.Scale(0.25, 2);
  const bool alike = dice.OneIn(3);
  std::vector<DeviceProfile> devices;
  const int32_t count = dice.In(1, size.most_devices);
  for (int32_t i = 0; i < count; ++i) {
    devices.push_back(alike && i > 0 && !dice.OneIn(3)
                          ? devices[static_cast<size_t>(dice.In(0, i - 1))]
                          : RandomDevice(dice, model, memory_share * dice.Scale(0.5, 2)));
    devices.back().name = fmt::format("d{}", i);
  }
  LinkProfile link;
  link.latency_s = dice.Scale(1e-5, 1e-2);
  link.bytes_per_s = dice.Scale(1e4, 1e7);
  Cluster cluster = UniformCluster(std::move(devices), link);
  const bool uneven = !dice.OneIn(3);
  for (LinkProfile& each : cluster.links) {
    if (uneven) each.latency_s *= dice.Scale(0.3, 3);
    if (uneven) each.bytes_per_s *= dice.Scale(0.3, 3);
    if (size.constrained && uneven) each.usable = !dice.OneIn(8);
  }
  return cluster;
}

Objective RandomObjective(Dice& dice) {
  switch (dice.In(0, 6)) {
    case 0: return Objective::Latency();
    case 1: return Objective::Throughput();
    case 2: return Objective::FirstToken();
    default: break;
  }
  const auto weight = [&] { return dice.OneIn(3) ? 0 : dice.Scale(0.1, 10); };
  const Objective mixed = {weight(), weight(), weight()};
  const double sum = mixed.decode_weight + mixed.period_weight + mixed.first_token_weight;
  return sum > 0 ? mixed : Objective{1, 1, 1};
}

Constraints RandomConstraints(Dice& dice, int32_t devices) {
  Constraints constraints;
  if (dice.OneIn(4)) constraints.first = dice.In(0, devices - 1);
  if (dice.OneIn(4)) constraints.last = dice.In(0, devices - 1);
  if (dice.OneIn(5)) constraints.first = constraints.last = dice.In(0, devices - 1);
  if (dice.OneIn(4)) constraints.required.push_back(dice.In(0, devices - 1));
  constraints.keep_order = dice.OneIn(5);
  for (int32_t device = 0; device < devices; ++device) {
    const bool wanted = device == constraints.first || device == constraints.last ||
                        (!constraints.required.empty() && device == constraints.required[0]);
    if (!wanted && dice.OneIn(8)) constraints.excluded.push_back(device);
  }
  const auto excluded = static_cast<int32_t>(constraints.excluded.size());
  if (excluded == devices) constraints.excluded.pop_back();
  return constraints;
}

constexpr double kEndless = std::numeric_limits<double>::infinity();

// Extends a beginning of a plan in every way.
class Enumeration {
 public:
  explicit Enumeration(const PlanProblem& problem)
      : problem_(problem),
        layers_(problem.model.layer_count()),
        decode_(problem, DecodeStep(problem.workload)),
        prefill_(problem, PrefillStep(problem.workload)),
        held_(problem.cluster.devices.size()) {
    for (int32_t stages = 1; stages <= problem.cluster.device_count() + 1; ++stages) {
      batch_.emplace_back(problem, BatchedDecodeStep(problem.workload, stages));
    }
    for (int32_t begin = 0; begin < layers_; ++begin) {
      for (int32_t end = begin + 1; end <= layers_; ++end) {
        needed_.push_back(MemoryOf(problem, {begin, end}).needed_bytes());
      }
    }
  }

  BruteForce Run() {
    Extend(0);
    return best_;
  }

 private:
  int64_t Needed(StageRange range) const {
    const int32_t before = range.begin * layers_ - range.begin * (range.begin - 1) / 2;
    return needed_[static_cast<size_t>(before + range.size() - 1)];
  }

  bool MayFollow(int32_t device, int32_t begin, int32_t end) const {
    const Constraints& wanted = problem_.constraints;
    const auto has = [](const std::vector<int32_t>& list, int32_t value) {
      return std::find(list.begin(), list.end(), value) != list.end();
    };
    if (has(wanted.excluded, device)) return false;
    if (begin == 0 && wanted.first != -1 && wanted.first != device) return false;
    if (end == layers_ && wanted.last != -1 && wanted.last != device) return false;
    const int32_t from = plan_.empty() ? problem_.cluster.coordinator() : plan_.back().device;
    if (from == device || !problem_.cluster.link(from, device).usable) return false;
    if (!plan_.empty() && wanted.keep_order && device < from) return false;
    for (const Placement& other : plan_) {
      const bool both = end == layers_ && wanted.first == device && wanted.last == device &&
                        other.device == plan_.front().device;
      if (other.device == device && (!both || wanted.keep_order)) return false;
    }
    const auto index = static_cast<size_t>(device);
    if (held_[index] + Needed({begin, end}) > problem_.cluster.devices[index].memory_bytes) {
      return false;
    }
    if (end < layers_) return true;
    return problem_.cluster.link(device, problem_.cluster.coordinator()).usable &&
           std::all_of(wanted.required.begin(), wanted.required.end(), [&](int32_t required) {
             return required == device ||
                    std::any_of(plan_.begin(), plan_.end(),
                                [&](const Placement& p) { return p.device == required; });
           });
  }

  void Extend(int32_t begin) {
    if (begin == layers_) {
      ++best_.plans;
      const double value = Value();
      if (!best_.placements.empty() && value >= best_.objective) return;
      best_.placements = plan_;
      best_.objective = value;
      return;
    }
    for (int32_t device = 0; device < problem_.cluster.device_count(); ++device) {
      for (int32_t end = begin + 1; end <= layers_; ++end) {
        if (!MayFollow(device, begin, end)) continue;
        const int64_t needed = Needed({begin, end});
        plan_.push_back({device, {begin, end}});
        held_[static_cast<size_t>(device)] += needed;
        Extend(end);
        held_[static_cast<size_t>(device)] -= needed;
        plan_.pop_back();
      }
    }
  }

  struct Sums {
    double total_s = 0;
    double slowest_s = 0;
  };
  Sums Walk(const StepCosts& costs) const {
    const int32_t coordinator = problem_.cluster.coordinator();
    Sums sums;
    sums.total_s = costs.control_hop_s(coordinator, plan_.front().device) +
                   costs.control_hop_s(plan_.back().device, coordinator);
    for (size_t i = 0; i < plan_.size(); ++i) {
      double busy_s = costs.stage_s(plan_[i].device, plan_[i].layers);
      sums.total_s += busy_s;
      if (i > 0 && plan_[i].device == plan_[0].device) {
        busy_s += costs.stage_s(plan_[0].device, plan_[0].layers);
      }
      sums.slowest_s = std::max(sums.slowest_s, busy_s);
      if (i == 0) continue;
      const auto [from, range] = plan_[i - 1];
      sums.total_s += costs.hop_s(from, plan_[i].device, range.end);
      sums.slowest_s =
          std::max(sums.slowest_s, costs.occupancy_s(from, plan_[i].device, range.end));
    }
    return sums;
  }

  double Value() const {
    const Objective& weights = problem_.objective;
    const auto stages = static_cast<int32_t>(plan_.size());
    const int32_t sessions = problem_.workload.sessions;
    const int32_t in_flight = std::min(stages, sessions);
    const Sums batch = Walk(batch_[plan_.size() - 1]);
    const Sums chunk = Walk(prefill_);
    const double period_s =
        std::max(batch.total_s / in_flight, batch.slowest_s) * in_flight / sessions;
    const double first_token_s = chunk.total_s + prefill_.head_s(plan_.back().device) +
                                 (PrefillChunks(problem_.workload) - 1) * chunk.slowest_s;
    return weights.decode_weight * Walk(decode_).total_s + weights.period_weight * period_s +
           weights.first_token_weight * first_token_s;
  }

  const PlanProblem& problem_;
  int32_t layers_;
  StepCosts decode_;
  StepCosts prefill_;
  std::vector<StepCosts> batch_;  // by stages - 1
  std::vector<int64_t> needed_;   // by begin, then end
  std::vector<int64_t> held_;     // [devices] bytes
  std::vector<Placement> plan_;
  BruteForce best_;
};

}  // namespace

PlanProblem RandomProblem(std::mt19937& random, const CaseSize& size) {
  Dice dice(random);
  PlanProblem problem;
  problem.model = RandomModel(dice, dice.In(1, size.most_layers));
  problem.cluster = RandomCluster(dice, problem.model, size);
  problem.workload.kv_tokens = dice.In(0, 100);
  problem.workload.sessions = dice.OneIn(3) ? 1 : dice.In(2, 9);
  problem.workload.prompt_tokens = dice.In(1, 40);
  problem.workload.output_tokens = dice.In(0, 40);
  problem.workload.prefill_chunk = dice.In(1, 16);
  problem.workload.step_token_budget = dice.In(1, 64);
  problem.objective = RandomObjective(dice);
  if (size.constrained && dice.OneIn(2)) {
    problem.constraints = RandomConstraints(dice, problem.cluster.device_count());
  }
  return problem;
}

BruteForce TryEverything(const PlanProblem& problem) { return Enumeration(problem).Run(); }

}  // namespace shoal
