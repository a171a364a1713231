// Times the planner (of one processor, which is all it uses) on random clusters of distinct
// devices, and states how far its plans can be from the best ones: `planner_benchmark [SEEDS
// [DEVICES]]` prints a table (docs/planner.md), or the lines of so many devices.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "partitioner/optimal.h"

namespace {

using shoal::DeviceProfile;
using shoal::LayerShape;
using shoal::LinkProfile;
using shoal::Objective;
using shoal::Plan;
using shoal::PlanProblem;
using shoal::Result;

struct Case {
  int32_t devices;
  int32_t layers;
  int32_t sessions;
  double room;  // memory of all devices, of what the layers need
};

struct Named {
  const char* name;
  Objective objective;
};

// A 70B model's layers as Q4_K; devices from 5 to 80 GB/s and half to twice the mean memory; links
// from Wi-Fi to gigabit Ethernet.
PlanProblem RandomCase(const Case& wanted, uint32_t seed) {
  std::mt19937 random(seed);
  const auto between = [&](double least, double most) {
    return least * std::pow(most / least, static_cast<double>(random() % 10001) / 10000);
  };
  PlanProblem problem;
  LayerShape layer;
  layer.weights = {{"Q4_K", 480'000'000, 855'000'000, 7}};
  layer.kv_bytes_per_token = 4096;
  layer.attention_macs_per_position = 16384;
  layer.elementwise_values = 100'000;
  layer.activation_bytes = 32768;
  problem.model.layers.assign(static_cast<size_t>(wanted.layers), layer);
  problem.model.embedding = {{"Q4_K", 590'000'000, 0, 1}};
  problem.model.head = {{"Q6_K", 860'000'000, 1'050'000'000, 1}};
  problem.model.buffer_bytes_per_token = 500'000;
  std::vector<DeviceProfile> devices;
  const double mean_bytes = wanted.room * 1.2 * 480e6 * wanted.layers / wanted.devices;
  for (int32_t i = 0; i < wanted.devices; ++i) {
    DeviceProfile device;
    device.name = fmt::format("d{}", i);
    device.memory_bytes = static_cast<int64_t>(mean_bytes * between(0.5, 2));
    const double speed = between(5e9, 8e10);
    device.speeds = {{"*", {{1, speed}, {8, speed * 0.7}, {64, speed * 0.2}}}};
    device.attention_decode_macs_per_s = speed / 2;
    device.step_s = between(1e-4, 1e-3);
    device.layer_s = 2e-5;
    devices.push_back(device);
  }
  problem.cluster = UniformCluster(std::move(devices), {.bytes_per_s = 1e8});
  for (LinkProfile& link : problem.cluster.links) {
    link.latency_s = between(1e-4, 5e-3);
    link.bytes_per_s = between(3e6, 1.2e8);
  }
  problem.workload.sessions = wanted.sessions;
  return problem;
}

void Measure(const Case& wanted, const Named& named, uint32_t seeds) {
  std::vector<double> seconds;
  std::vector<double> gaps;
  for (uint32_t seed = 0; seed < seeds; ++seed) {
    PlanProblem problem = RandomCase(wanted, seed);
    problem.objective = named.objective;
    const std::clock_t begin = std::clock();
    const Result<Plan> plan = shoal::MakeOptimal()->Place(problem);
    seconds.push_back(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
    if (plan.ok()) gaps.push_back(plan->objective / plan->lower_bound - 1);
  }
  std::sort(seconds.begin(), seconds.end());
  std::sort(gaps.begin(), gaps.end());
  const auto percent = [](double gap) { return fmt::format("{:.1f} %", 100 * gap); };
  fmt::print("| {} | {} | {} | {:g} | {} | {:.2f} | {:.2f} | {} | {} |\n", wanted.devices,
             wanted.layers, wanted.sessions, wanted.room, named.name, seconds[seconds.size() / 2],
             seconds.back(), gaps.empty() ? "no plan" : percent(gaps[gaps.size() / 2]),
             gaps.empty() ? "no plan" : percent(gaps.back()));
}

}  // namespace

int main(int argc, char** argv) {
  const auto seeds = static_cast<uint32_t>(argc > 1 ? std::max(1, std::atoi(argv[1])) : 5);
  const int only = argc > 2 ? std::atoi(argv[2]) : 0;
  const std::vector<Named> objectives = {
      {"latency", Objective::Latency()},          {"throughput", Objective::Throughput()},
      {"first token", Objective::FirstToken()},   {"decode 1, period 1", {1, 1, 0}},
      {"decode 1, first token 0.1", {1, 0, 0.1}}, {"1, 1, 0.1", {1, 1, 0.1}}};
  fmt::print(
      "| devices | layers | sessions | memory / need | objective | median s | worst s | "
      "median gap | worst gap |\n|---|---|---|---|---|---|---|---|---|\n");
  for (const Case& wanted : std::vector<Case>{{8, 80, 16, 2},
                                              {12, 80, 1, 2},
                                              {12, 80, 16, 1.3},
                                              {12, 80, 16, 2},
                                              {12, 80, 16, 4},
                                              {40, 80, 16, 2},
                                              {40, 80, 16, 4}}) {
    if (only != 0 && wanted.devices != only) continue;
    for (const Named& named : objectives) Measure(wanted, named, seeds);
  }
  return 0;
}
