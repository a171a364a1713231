#include "tools/doctor_membership.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "net/discovery.h"
#include "net/identity/identity_files.h"
#include "net/identity/x509.h"
#include "node/service/mesh_member.h"
#include "tools/doctor_dial.h"

namespace shoal {

namespace {

constexpr int kSeekMeshMs = 1000;

// A coordinator renews what has run out, so that its time does not count.
std::optional<DoctorFacts::Identity> ReadIdentity(const std::string& folder, Role role,
                                                  int64_t now_unix_s) {
  std::error_code ignored;
  if (!std::filesystem::exists(ChainPath(folder), ignored)) return std::nullopt;
  DoctorFacts::Identity found;
  found.self.role = role;
  const Result<OwnIdentity> own =
      LoadIdentity(folder, MachineMark(), role == Role::kNode ? now_unix_s : 0);
  if (!own.ok()) {
    found.error = own.error().message;
    return found;
  }
  found.self = own->self;
  found.not_after_unix_s = own->not_after_unix_s;
  for (const std::string& pem : {own->certificate_pem, own->authority_pem}) {
    const Result<CertificateFacts> facts = ReadCertificate(pem);
    if (!facts.ok()) continue;  // LoadIdentity has read both
    found.not_before_unix_s = std::max(found.not_before_unix_s, facts->not_before_unix_s);
  }
  found.is_revoked = role == Role::kNode && LoadRevoked(folder).contains(own->self.id);
  return found;
}

// Where it was, then, as a node does, where somebody says to be of this mesh.
void DialCoordinator(const CoordinatorContact& contact, DoctorFacts& facts) {
  bool found = false;
  const auto dial = [&](const Address& address) {
    if (found || address.is_unix() || address.is_relay()) return;
    const DoctorFacts::Peer& peer = facts.coordinators.emplace_back(DialPeer(address));
    found = peer.kind == DoctorFacts::Peer::Kind::kMember && peer.member == facts.coordinator;
  };
  for (const Address& address : contact.addresses) dial(address);
  if (found) return;
  const auto others = SeekCoordinators(facts.coordinator.mesh, kSeekMeshMs, false);
  if (!others.ok()) return;
  for (const FoundCoordinator& other : *others) dial(other.address);
}

}  // namespace

void ProbeMembership(const std::string& state_folder, DoctorFacts& facts) {
  const std::string folder = state_folder + "/node";
  const auto node = ReadIdentity(folder, Role::kNode, facts.now_unix_s);
  const auto own =
      ReadIdentity(state_folder + "/coordinator", Role::kCoordinator, facts.now_unix_s);
  for (const auto& identity : {node, own}) {
    if (identity) facts.identities.push_back(*identity);
  }
  if (!node || !node->error.empty()) return;
  const Result<CoordinatorContact> contact = LoadContact(folder);
  if (!contact.ok()) {
    facts.contact_error = contact.error().message;
    return;
  }
  facts.coordinator = {node->self.mesh, Role::kCoordinator, contact->id};
  DialCoordinator(*contact, facts);
}

}  // namespace shoal
