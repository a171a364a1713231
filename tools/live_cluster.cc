#include "tools/live_cluster.h"

#include <fmt/format.h>

#include "coordinator/service/measure_cluster.h"
#include "tools/terminal.h"

namespace shoal {

namespace {

// "NAME=ADDRESS", or an address that is its own name.
Result<MeshNode> ParseNode(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) {
    ASSIGN_OR_RETURN(Address address, ParseAddress(text));
    return MeshNode{text, std::move(address)};
  }
  ASSIGN_OR_RETURN(Address address, ParseAddress(text.substr(equals + 1)));
  if (equals == 0) return InvalidArgument(fmt::format("--node {}: the name is empty", text));
  return MeshNode{text.substr(0, equals), std::move(address)};
}

}  // namespace

Result<Cluster> MeasureLive(const LiveOptions& options) {
  MeasureOptions measure;
  measure.refresh = options.refresh;
  for (const std::string& text : options.nodes) {
    ASSIGN_OR_RETURN(MeshNode node, ParseNode(text));
    measure.nodes.push_back(std::move(node));
  }
  if (!options.model.empty()) {
    ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(options.model));
    ASSIGN_OR_RETURN(measure.target, ReadProfileTarget(file, TensorType::kF16));
  }
  ProgressLine progress;
  ASSIGN_OR_RETURN(Cluster cluster,
                   MeasureCluster(measure, SteadyClock(),
                                  [&](const std::string& line) { progress.Show(line); }));
  progress.Clear();
  return cluster;
}

}  // namespace shoal
