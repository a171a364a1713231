// A node's side of the tunnels, for nodes that nobody can dial: keeps connections parked at the
// coordinator's hub, joins each that is wanted to the node's own port, and reaches other nodes
// through the hub. Comes back by itself, with jittered back-off.
//
// Thread rule: runs a thread of its own; every function is safe from any thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "net/address.h"
#include "net/tunnel/authenticator.h"

namespace shoal {

struct TunnelClientOptions {
  Address hub;       // TCP
  std::string mesh;  // tunnel names
  std::string node;
  std::optional<Address> own_port;  // where the node is to be reached; none: it only reaches others
  std::string folder;               // exists, mode 0700: for the sockets that stand for other nodes
  int parked = 4;                   // connections that wait at any time, if there is an own port
};

// How long to wait before the next attempt after `failures` (>= 1) in a row: 0.1 s doubling up to
// 5 s, of which `share` in [0, 1] takes off up to a half, so that nodes do not come back in step.
std::chrono::milliseconds TunnelBackoff(int failures, double share);

class TunnelClient {
 public:
  // Returns at once; whether the hub answers shows in the log. Errors: names that are none.
  // `authenticator` outlives the client.
  static Result<std::unique_ptr<TunnelClient>> Start(const TunnelClientOptions& options,
                                                     const TunnelAuthenticator& authenticator);
  // Closes every connection and removes the sockets.
  ~TunnelClient();

  // A socket that stands for another node: connecting to it relays through the hub. Errors: a name
  // that is none, the socket cannot be made.
  Result<Address> RelayTo(const std::string& node);

 private:
  class Impl;
  explicit TunnelClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal
