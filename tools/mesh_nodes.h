// The mesh that the commands of this user coordinate, and its nodes as options name them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "coordinator/service/mesh_authority.h"
#include "coordinator/service/node_link.h"

namespace shoal {

// Where nodes find the coordinator.
constexpr const char* kDefaultMeshListen = "0.0.0.0:7700";

// The mesh of a state folder, made if it has none. `state` is what --state says; empty: the
// default.
Result<std::unique_ptr<MeshAuthority>> OpenMesh(const std::string& state);
// The same; null if no mesh has been made there yet.
Result<std::unique_ptr<MeshAuthority>> FindMesh(const std::string& state);

// A node that an option names: "unix:/PATH", or a member's name, id or address, with "@HOST:PORT"
// behind it where it is to be dialled elsewhere (a forwarded port). `mesh` may be null.
// Errors: not a member, or one whose address is not known yet.
Result<MeshNode> FindNode(const std::string& text, const MeshAuthority* mesh);

// The members that may serve and have an address, oldest first.
Result<std::vector<MeshNode>> AllNodes(const MeshAuthority& mesh);

}  // namespace shoal
