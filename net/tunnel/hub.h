// Where nodes that cannot be dialled are reached: they park connections here, and each has a Unix
// socket in the hub's folder that behaves like the node's own port. Connecting to it takes one
// parked connection and joins the two. A node reaches another one's parked connections as a relay,
// and also one that can be dialled, but not by that node.
//
// Nobody waits in a queue: where no connection is parked, whoever wants one is turned away at once
// and tries again (gRPC does, after 100 ms).
//
// Thread rule: runs a thread of its own; every function is safe from any thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/address.h"
#include "net/tunnel/authenticator.h"

namespace shoal {

struct TunnelHubLimits {
  int connections = 1024;    // of all kinds; more are closed when they come
  int per_node = 64;         // that one node opened and that are parked or joined
  int parked_per_node = 16;  // more are refused
  std::chrono::milliseconds handshake{5000};
  std::chrono::milliseconds silence{45'000};  // of a parked connection
};

struct TunnelHubOptions {
  Address listen;      // TCP; port 0: any
  std::string mesh;    // a tunnel name; others are refused
  std::string folder;  // exists, mode 0700: for the sockets
  TunnelHubLimits limits;
};

class TunnelHub {
 public:
  // Errors: the address cannot be had, the mesh's name is none. `authenticator` outlives the hub.
  static Result<std::unique_ptr<TunnelHub>> Start(const TunnelHubOptions& options,
                                                  const TunnelAuthenticator& authenticator);
  // Closes every connection and removes the sockets.
  ~TunnelHub();

  // With the port that was bound.
  const Address& address() const;
  // The socket that stands for a node, whether or not it has parked anything yet. Errors: a name
  // that is none, the socket cannot be made.
  Result<Address> SocketOf(const std::string& node);
  // From now on, relays from one node to another, if that has parked nothing, are connections to
  // this address.
  void RelayTo(const std::string& from, const std::string& to, const Address& address);
  // Connections that wait for somebody who wants the node.
  int parked(const std::string& node) const;

 private:
  class Impl;
  explicit TunnelHub(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal
