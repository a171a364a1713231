// Finding a coordinator on the local network by UDP multicast, IPv4 and IPv6, on every interface.
// A seeker asks the group, coordinators answer it alone; answers are no longer than a datagram and
// at most kAnswersPerS a second, of which one address gets its share, so that nobody is flooded
// through them, and none that asks too often keeps others from being heard.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/address.h"

namespace shoal {

constexpr uint16_t kDiscoveryPort = 7700;
constexpr int kAnswersPerS = 20;
constexpr int kAnswersPerSourceS = 4;  // a seeker asks twice a second
constexpr int kMostCoordinators = 64;  // that one search lists

// Answers for one coordinator while it lives, on a thread of its own. Several on one machine get
// along, also of one mesh.
class DiscoveryResponder {
 public:
  // Interfaces that come up later are listened on some seconds after. REQUIRES IsMeshId(mesh_id),
  // service_port > 0. Errors: the port cannot be bound, or no group can be joined on any interface.
  static Result<std::unique_ptr<DiscoveryResponder>> Start(
      const std::string& mesh_id, uint16_t service_port, uint16_t discovery_port = kDiscoveryPort);
  ~DiscoveryResponder();

 private:
  class Impl;
  explicit DiscoveryResponder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct FoundCoordinator {
  std::string mesh_id;
  Address address;  // what the answer came from
};

// Asks every half second until `timeout_ms` is over, or the first answer has come (`first_only`).
// An empty `mesh_id`: of all meshes. Addresses that mean something on one link only come last.
// Errors: there is no network to ask on.
Result<std::vector<FoundCoordinator>> SeekCoordinators(const std::string& mesh_id, int timeout_ms,
                                                       bool first_only,
                                                       uint16_t discovery_port = kDiscoveryPort);

}  // namespace shoal
