#include <fmt/format.h>

#include <string>

#include "partitioner/optimal.h"
#include "partitioner/strategy.h"

namespace shoal {

std::vector<std::unique_ptr<Strategy>> AllStrategies() {
  std::vector<std::unique_ptr<Strategy>> all;
  all.push_back(MakeOptimal());
  all.push_back(MakeSpeedProportional());
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
