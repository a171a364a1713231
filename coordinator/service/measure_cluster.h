// What a planner needs to know of running nodes: each device's profile, and the link between every
// two of them and the coordinator.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "coordinator/model_shape.h"
#include "coordinator/service/node_link.h"
#include "partitioner/cluster.h"

namespace shoal {

struct MeasureOptions {
  std::vector<MeshNode> nodes;  // of different names
  ProfileTarget target;         // without dimensions: those of common models
  bool refresh = false;         // measure devices anew, whatever they remember
  bool relays = false;          // the coordinator relays where neither of two nodes can dial
};

// Blocks until all is measured: devices at once, but those that share a machine one after the
// other, who also share its memory; then links, so that no device is part of two probes at once. A
// link that neither end can dial is relayed, or not usable; all else that fails is an error that
// names the node.
// `progress` gets lines to show, on threads of its own. REQUIRES at least one node.
Result<Cluster> MeasureCluster(const MeasureOptions& options, const Clock& clock,
                               const std::function<void(const std::string&)>& progress);

}  // namespace shoal
