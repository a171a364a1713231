#include "tools/live_cluster.h"

#include <fmt/format.h>

#include "coordinator/service/measure_cluster.h"
#include "tools/mesh_nodes.h"
#include "tools/terminal.h"

namespace shoal {

namespace {

// "NAME=NODE", or a node that keeps its name.
Result<MeshNode> ParseNode(const std::string& text, const MeshAuthority* mesh) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) {
    return FindNode(text, mesh);
  }
  ASSIGN_OR_RETURN(MeshNode node, FindNode(text.substr(equals + 1), mesh));
  if (equals == 0) return InvalidArgument(fmt::format("--node {}: the name is empty", text));
  node.name = text.substr(0, equals);
  return node;
}

}  // namespace

Result<Cluster> MeasureLive(const LiveOptions& options) {
  MeasureOptions measure;
  measure.refresh = options.refresh;
  ASSIGN_OR_RETURN(const std::unique_ptr<MeshAuthority> mesh, FindMesh(options.state));
  for (const std::string& text : options.nodes) {
    ASSIGN_OR_RETURN(MeshNode node, ParseNode(text, mesh.get()));
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
