// A small model and devices of any speed, for tests of the simulator: every number is one that can
// be followed by hand.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "partitioner/strategy.h"
#include "tools/simulator/options.h"

namespace shoal {

constexpr int64_t kMiB = 1 << 20;

inline DeviceProfile TestDevice(const std::string& name, double mib_per_s) {
  DeviceProfile device;
  device.name = name;
  device.memory_bytes = 4096 * kMiB;
  device.speeds = {{"*", {{1, mib_per_s * kMiB}, {8, 0.9 * mib_per_s * kMiB}}}};
  device.attention_decode_macs_per_s = 4e9;
  device.attention_prefill_macs_per_s = 8e9;
  device.elementwise_values_per_s = 1e9;
  device.layer_s = 1e-5;
  device.step_s = 1e-4;
  device.busy_watts = 10;
  device.idle_watts = 2;
  return device;
}

inline ModelShape TestModel(int32_t layers) {
  ModelShape model;
  for (int32_t i = 0; i < layers; ++i) {
    LayerShape layer;
    layer.weights = {{"Q4_0", (8 + i % 3) * kMiB, 16 * kMiB, 7}};
    layer.kv_bytes_per_token = 1024;
    layer.attention_macs_per_position = 4096;
    layer.attention_window = i % 2 == 0 ? 0 : 64;
    layer.elementwise_values = 10'000;
    layer.activation_bytes = 4096;
    model.layers.push_back(layer);
  }
  model.embedding = {{"Q4_0", 5 * kMiB, 0, 0}};
  model.head = {{"Q6_K", 12 * kMiB, 24 * kMiB, 1}};
  model.buffer_bytes_per_token = 8192;
  return model;
}

inline LinkProfile TestLink() { return {.latency_s = 3e-4, .bytes_per_s = 50e6}; }

// A model of `layers` on devices of these speeds.
inline PlanProblem TestProblem(int32_t layers, const std::vector<double>& mib_per_s) {
  PlanProblem problem;
  problem.model = TestModel(layers);
  std::vector<DeviceProfile> devices;
  for (const double speed : mib_per_s) {
    devices.push_back(TestDevice("device-" + std::to_string(devices.size()), speed));
  }
  problem.cluster = UniformCluster(std::move(devices), TestLink());
  problem.workload.kv_tokens = 16 * 1024;
  problem.workload.sessions = 4;
  return problem;
}

// One request at a time, `requests` in all.
inline SimulationOptions OneClient(PlanProblem problem, int32_t prompt_tokens,
                                   int32_t output_tokens, int64_t requests) {
  SimulationOptions options;
  problem.workload.prompt_tokens = prompt_tokens;
  problem.workload.output_tokens = output_tokens;
  options.problem = std::move(problem);
  options.arrivals = {.kind = Arrivals::Kind::kClosed, .clients = 1};
  options.prompt_tokens.first = prompt_tokens;
  options.output_tokens.first = output_tokens;
  options.max_requests = requests;
  return options;
}

}  // namespace shoal
