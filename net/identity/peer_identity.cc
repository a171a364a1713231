#include "net/identity/peer_identity.h"

#include <fmt/format.h>

#include <algorithm>

namespace shoal {

namespace {

constexpr std::string_view kSuffix = ".shoal";
constexpr size_t kMostShownChars = 80;

}  // namespace

std::string_view RoleName(Role role) { return role == Role::kNode ? "node" : "coordinator"; }

std::string PeerIdentity::DnsName() const {
  return fmt::format("{}.{}.{}{}", id, RoleName(role), mesh, kSuffix);
}

bool IsId(std::string_view text) {
  return text.size() == kIdChars && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7');
         });
}

Result<PeerIdentity> ParsePeerIdentity(std::string_view dns_name) {
  for (const Role role : {Role::kNode, Role::kCoordinator}) {
    PeerIdentity identity;
    identity.role = role;
    identity.id = dns_name.substr(0, kIdChars);
    const size_t mesh_at = kIdChars + 2 + RoleName(role).size();
    if (dns_name.size() > mesh_at) identity.mesh = dns_name.substr(mesh_at, kIdChars);
    if (IsId(identity.id) && IsId(identity.mesh) && identity.DnsName() == dns_name) return identity;
  }
  return InvalidArgument(
      fmt::format("the name '{}' in a certificate: expected "
                  "ID.node.MESH.shoal or ID.coordinator.MESH.shoal",
                  dns_name.substr(0, kMostShownChars)));
}

}  // namespace shoal
