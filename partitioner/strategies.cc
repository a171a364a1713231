#include <fmt/format.h>

#include <string>

#include "partitioner/optimal.h"
#include "partitioner/strategy.h"

namespace shoal {

std::vector<std::unique_ptr<Strategy>> AllStrategies() {
  std::vector<std::unique_ptr<Strategy>> all;
  all.push_back(MakeOptimal());
  all.push_back(MakeSpeedProportional());
  all.push_back(MakeEven());
  all.push_back(MakeMemoryProportional());
  all.push_back(MakeTensorSplit());
  all.push_back(MakeEdgeShardLatency());
  all.push_back(MakeEdgeShardThroughput());
  all.push_back(MakePipeEdge());
  all.push_back(MakeHalda());
  all.push_back(MakeHaldaWithoutLinks());
  all.push_back(MakePetals());
  all.push_back(MakeHelix());
  all.push_back(MakeWaterFilling());
  return all;
}

Result<std::unique_ptr<Strategy>> MakeStrategy(std::string_view name) {
  std::string names;
  for (std::unique_ptr<Strategy>& strategy : AllStrategies()) {
    if (strategy->name() == name) return std::move(strategy);
    if (!names.empty()) names += ", ";
    names += strategy->name();
  }
  return InvalidArgument(fmt::format("there is no strategy {}: there are {}", name, names));
}

}  // namespace shoal
