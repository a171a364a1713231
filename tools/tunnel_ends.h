// The two ends of tunnels as the commands set them up: a coordinator's hub, and a node that dials
// out to it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/tunnel/authenticator.h"
#include "net/tunnel/client.h"
#include "net/tunnel/hub.h"
#include "tools/runtime_folder.h"

namespace shoal {

class HubEnd {
 public:
  // Errors: an address that is none, that others could reach (names are not proved yet), or that
  // cannot be had.
  static Result<std::unique_ptr<HubEnd>> Start(const std::string& listen);

  TunnelHub& hub() { return *hub_; }
  // Blocks until the node has parked connections, for kDialInMs at most: how long a node that runs
  // may take to come back.
  void WaitFor(const std::string& node, const std::function<void(const std::string&)>& progress);

 private:
  static constexpr int kDialInMs = 15'000;
  explicit HubEnd(RuntimeFolder folder) : folder_(std::move(folder)) {}
  RuntimeFolder folder_;
  LocalTunnels authenticator_;
  std::unique_ptr<TunnelHub> hub_;
};

class NodeEnd {
 public:
  // `own_port` is the node's server. Errors as above, and a name that is no tunnel name.
  static Result<std::unique_ptr<NodeEnd>> Start(const std::string& hub, const std::string& node,
                                                const Address& own_port,
                                                const RuntimeFolder& folder);

  TunnelClient& client() { return *client_; }

 private:
  NodeEnd() = default;
  LocalTunnels authenticator_;
  std::unique_ptr<TunnelClient> client_;
};

}  // namespace shoal
