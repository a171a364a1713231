#include "tools/mesh_nodes.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/wall_clock.h"
#include "tools/state_folder.h"

namespace shoal {

namespace {

Result<std::string> CoordinatorFolder(const std::string& state) {
  ASSIGN_OR_RETURN(const std::string folder, StateFolder(state));
  return folder + "/coordinator";
}

Result<MeshNode> NodeOf(const Member& member, const MeshAuthority& mesh) {
  ASSIGN_OR_RETURN(Address address, ParseAddress(member.address));
  return MeshNode{member.name, std::move(address), {mesh.credentials(), Role::kNode, member.id}};
}

}  // namespace

Result<std::unique_ptr<MeshAuthority>> OpenMesh(const std::string& state) {
  ASSIGN_OR_RETURN(const std::string folder, CoordinatorFolder(state));
  return MeshAuthority::Open(folder, MachineMark(), UnixNowS());
}

Result<std::unique_ptr<MeshAuthority>> FindMesh(const std::string& state) {
  ASSIGN_OR_RETURN(const std::string folder, CoordinatorFolder(state));
  std::error_code failed;
  if (!std::filesystem::exists(ChainPath(folder), failed)) return std::unique_ptr<MeshAuthority>();
  return OpenMesh(state);
}

Result<MeshNode> FindNode(const std::string& text, const MeshAuthority* mesh) {
  if (text.starts_with("unix:")) {
    ASSIGN_OR_RETURN(Address address, ParseAddress(text));
    return MeshNode{text, std::move(address), {}};
  }
  Roster roster;
  if (mesh != nullptr) {
    ASSIGN_OR_RETURN(roster, mesh->roster().Read());
  }
  const size_t at = text.find('@');
  const Member* member = roster.Find(std::string_view(text).substr(0, at));
  if (member == nullptr) {
    return NotFound(fmt::format(
        "no node of this mesh has the name or address '{}'; 'shoal nodes list' shows them, 'shoal "
        "nodes invite' lets one join",
        text));
  }
  if (at != std::string::npos) {
    ASSIGN_OR_RETURN(Address address, ParseAddress(text.substr(at + 1)));
    return MeshNode{
        member->name, std::move(address), {mesh->credentials(), Role::kNode, member->id}};
  }
  if (member->address.empty()) {
    return Unavailable(fmt::format("node {} has not said yet where it listens", member->name));
  }
  return NodeOf(*member, *mesh);
}

Result<std::vector<MeshNode>> AllNodes(const MeshAuthority& mesh) {
  ASSIGN_OR_RETURN(const Roster roster, mesh.roster().Read());
  std::vector<MeshNode> nodes;
  for (const Member& member : roster.members) {
    if (member.revoked || member.address.empty()) continue;
    ASSIGN_OR_RETURN(MeshNode node, NodeOf(member, mesh));
    nodes.push_back(std::move(node));
  }
  return nodes;
}

}  // namespace shoal
