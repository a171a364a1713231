// Who a process of a mesh is, as its certificate says in one DNS name: ID.node.MESH.shoal or
// ID.coordinator.MESH.shoal. Ids of meshes and members are kIdChars base32 digits.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace shoal {

constexpr size_t kIdBytes = 10;
constexpr size_t kIdChars = 16;

enum class Role { kNode, kCoordinator };

std::string_view RoleName(Role role);

struct PeerIdentity {
  std::string mesh;
  Role role = Role::kNode;
  std::string id;

  bool operator==(const PeerIdentity&) const = default;
  // The name in the certificate.
  std::string DnsName() const;
};

// Whether `text` could be the id of a mesh or a member.
bool IsId(std::string_view text);

// Errors (kInvalidArgument) name the text and what is expected.
Result<PeerIdentity> ParsePeerIdentity(std::string_view dns_name);

}  // namespace shoal
