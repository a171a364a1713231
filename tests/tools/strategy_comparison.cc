// Every strategy on the example clusters and on random ones, beside the planner: prints a table of
// how many times longer a rival's objective is, and fails if the planner's is longer than anyone's.
// usage: strategy_comparison EXAMPLES_FOLDER RANDOM_CLUSTERS [SEED]
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "partitioner/strategy.h"
#include "tools/cluster_file.h"
#include "tools/device_library.h"
#include "tools/model_shapes.h"

namespace shoal {
namespace {

constexpr std::string_view kPlanner = "optimal";

struct NamedObjective {
  const char* name;
  Objective objective;
  int32_t sessions;
};
const NamedObjective kObjectives[] = {{"latency", Objective::Latency(), 1},
                                      {"throughput", Objective::Throughput(), 8},
                                      {"first-token", Objective::FirstToken(), 1}};

// Seeded, and the same with every standard library.
class Dice {
 public:
  explicit Dice(uint64_t seed) : engine_(seed) {}
  int Roll(int least, int most) {
    return least + static_cast<int>(engine_() % static_cast<uint64_t>(most - least + 1));
  }
  template <typename Map>
  const auto& Any(const Map& map) {
    return std::next(map.begin(), Roll(0, static_cast<int>(map.size()) - 1))->second;
  }

 private:
  std::mt19937_64 engine_;
};

// 2 to 8 devices of the library with a quarter to all of their memory, each on a network of its
// own.
Cluster AnyCluster(Dice& dice, const DeviceLibrary& library) {
  std::vector<DeviceProfile> devices;
  std::vector<Network> networks;
  const int count = dice.Roll(2, 8);
  for (int i = 0; i < count; ++i) {
    DeviceProfile device = dice.Any(library.profiles);
    device.name = fmt::format("device {}", i);
    device.memory_bytes = device.memory_bytes / 4 * dice.Roll(1, 4);
    devices.push_back(std::move(device));
    networks.push_back(dice.Any(library.networks));
  }
  networks.push_back(dice.Any(library.networks));  // the coordinator's
  Cluster cluster = UniformCluster(std::move(devices), LinkProfile{});
  for (int32_t from = 0; from < cluster.endpoint_count(); ++from) {
    for (int32_t to = 0; to < cluster.endpoint_count(); ++to) {
      cluster.link(from, to) =
          LinkBetween(networks[static_cast<size_t>(from)], networks[static_cast<size_t>(to)]);
    }
  }
  return cluster;
}

class Comparison {
 public:
  Comparison() : strategies_(AllStrategies()) {}

  // Adds what all strategies say of the problem. False if the planner is beaten: says by whom.
  bool Add(const std::string& group, const std::string& where, const PlanProblem& problem) {
    std::map<std::string, double> objectives;
    for (const auto& strategy : strategies_) {
      const Result<Plan> plan = strategy->Place(problem);
      if (plan.ok()) objectives[std::string(strategy->name())] = plan->objective;
    }
    if (objectives.empty()) return true;
    const auto best =
        std::min_element(objectives.begin(), objectives.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    const auto planner = objectives.find(std::string(kPlanner));
    const double reference = planner == objectives.end() ? best->second : planner->second;
    ++problems_[group];
    for (const auto& [name, objective] : objectives) {
      ratios_[group][name].push_back(objective / reference);
    }
    constexpr double kRounding = 1e-9;
    if (best->second >= reference * (1 - kRounding)) return true;
    std::printf("%s: %s has %.9g, %s has %.9g\n", where.c_str(), best->first.c_str(), best->second,
                planner->first.c_str(), reference);
    return false;
  }

  void Print() {
    for (auto& [group, by_strategy] : ratios_) {
      std::printf("\n%s, %d problems that some strategy has a plan for\n\n", group.c_str(),
                  problems_[group]);
      std::printf("| strategy | plans | median | worst | best in |\n|---|---|---|---|---|\n");
      for (const auto& strategy : strategies_) {
        PrintRow(std::string(strategy->name()), by_strategy[std::string(strategy->name())],
                 problems_[group]);
      }
    }
  }

 private:
  static void PrintRow(const std::string& name, std::vector<double>& ratios, int problems) {
    if (ratios.empty()) {
      std::printf("| %s | 0 %% | - | - | - |\n", name.c_str());
      return;
    }
    std::sort(ratios.begin(), ratios.end());
    constexpr double kSame = 1 + 1e-9;
    const auto best = std::upper_bound(ratios.begin(), ratios.end(), kSame) - ratios.begin();
    std::printf("| %s | %.0f %% | %.2f | %.1f | %.0f %% |\n", name.c_str(),
                100.0 * static_cast<double>(ratios.size()) / problems, ratios[ratios.size() / 2],
                ratios.back(), 100.0 * static_cast<double>(best) / problems);
  }

  std::vector<std::unique_ptr<Strategy>> strategies_;
  std::map<std::string, std::map<std::string, std::vector<double>>> ratios_;
  std::map<std::string, int> problems_;
};

PlanProblem ProblemOf(const Cluster& cluster, std::string_view shape,
                      const NamedObjective& objective) {
  PlanProblem problem;
  problem.cluster = cluster;
  problem.model = *NamedShape(shape, TensorType::kF16);
  problem.objective = objective.objective;
  problem.workload.sessions = objective.sessions;
  problem.workload.kv_tokens = 4096 * objective.sessions;
  return problem;
}

Result<bool> Compare(const std::string& folder, int random_clusters, uint64_t seed) {
  Comparison comparison;
  bool held = true;
  for (const char* name : {"four-pis", "laptop-and-phones", "office", "edge-gateway"}) {
    ASSIGN_OR_RETURN(const ClusterFile file, ReadClusterFile(folder + "/" + name + ".toml"));
    for (const char* shape : {"3b-q4_k", "8b-q4_k", "32b-q4_k"}) {
      for (const NamedObjective& objective : kObjectives) {
        held &= comparison.Add(fmt::format("Examples, {}", objective.name),
                               fmt::format("{}, {}, {}", name, shape, objective.name),
                               ProblemOf(file.cluster, shape, objective));
      }
    }
  }
  ASSIGN_OR_RETURN(const DeviceLibrary library, BuiltInDeviceLibrary());
  const char* const shapes[] = {"1b-q4_0", "3b-q4_k", "8b-q4_k", "14b-q4_k", "30b-a3b-q4_k"};
  Dice dice(seed);
  for (int i = 0; i < random_clusters; ++i) {
    const Cluster cluster = AnyCluster(dice, library);
    const char* shape = shapes[dice.Roll(0, 4)];
    for (const NamedObjective& objective : kObjectives) {
      held &= comparison.Add(fmt::format("Random clusters, {}", objective.name),
                             fmt::format("random cluster {}, {}, {}", i, shape, objective.name),
                             ProblemOf(cluster, shape, objective));
    }
  }
  comparison.Print();
  return held;
}

}  // namespace
}  // namespace shoal

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fprintf(stderr, "usage: %s EXAMPLES_FOLDER RANDOM_CLUSTERS [SEED]\n", argv[0]);
    return 2;
  }
  const uint64_t seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1;
  const auto held = shoal::Compare(argv[1], std::atoi(argv[2]), seed);
  if (!held.ok()) std::fprintf(stderr, "%s\n", held.error().message.c_str());
  return held.ok() && *held ? 0 : 1;
}
