// How fast the simulator is, and how much memory it takes: a line of equal devices that all serve,
// with a full load of sessions, each of 512 prompt tokens and 128 answered ones.
// usage: simulator_speed DEVICES SESSIONS REQUESTS
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <vector>

#include "tests/tools/simulator/small_cluster.h"
#include "tools/simulator/option_parse.h"
#include "tools/simulator/simulation.h"

namespace shoal {
namespace {

Status Measure(int32_t devices, int32_t sessions, int32_t requests) {
  constexpr int32_t kLeastLayers = 32;
  PlanProblem problem = TestProblem(std::max(kLeastLayers, devices),
                                    std::vector<double>(static_cast<size_t>(devices), 500));
  problem.workload.sessions = sessions;
  problem.workload.kv_tokens = int64_t{640} * sessions;
  for (DeviceProfile& device : problem.cluster.devices) device.memory_bytes = int64_t{1} << 40;
  SimulationOptions options = OneClient(std::move(problem), 512, 128, requests);
  options.arrivals.clients = sessions;
  options.duration_s = 1e8;
  const auto start = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(const SimulationReport report, Simulate(options, *MakeSpeedProportional()));
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto tokens = static_cast<double>(report.all_output_tokens);
  std::printf("%d stages, %d sessions: %.2f million tokens/s, %.0f ns a step and stage, %.0f MiB\n",
              devices, sessions, tokens / wall.count() / 1e6,
              wall.count() * 1e9 / static_cast<double>(report.steps) / devices,
              static_cast<double>(used.ru_maxrss) / 1024);
  return OkStatus();
}

Status Run(const std::vector<std::string>& arguments) {
  if (arguments.size() != 3) return InvalidArgument("usage: DEVICES SESSIONS REQUESTS");
  ASSIGN_OR_RETURN(const int32_t devices, ParseCount("DEVICES", arguments[0]));
  ASSIGN_OR_RETURN(const int32_t sessions, ParseCount("SESSIONS", arguments[1]));
  ASSIGN_OR_RETURN(const int32_t requests, ParseCount("REQUESTS", arguments[2]));
  if (devices < 1) return InvalidArgument("DEVICES is below 1");
  return Measure(devices, sessions, requests);
}

}  // namespace
}  // namespace shoal

int main(int argc, char** argv) {
  const shoal::Status done = shoal::Run({argv + 1, argv + argc});
  if (!done.ok()) std::fprintf(stderr, "%s\n", done.error().message.c_str());
  return done.ok() ? 0 : 1;
}
