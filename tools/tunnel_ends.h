// The two ends of tunnels as the commands set them up: a coordinator's hub, and a node that dials
// out to it.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"
#include "net/identity/mesh_tunnels.h"
#include "net/tunnel/client.h"
#include "net/tunnel/hub.h"
#include "tools/runtime_folder.h"

namespace shoal {

// What an option gives as HOST:PORT. Errors name the option.
Result<Address> TcpAddress(const char* option, const std::string& text);

class HubEnd {
 public:
  // For the nodes of the mesh that `own` coordinates. Errors: an address that is none, or that
  // cannot be had.
  static Result<std::unique_ptr<HubEnd>> Start(const std::string& listen,
                                               const std::shared_ptr<const Credentials>& own);

  TunnelHub& hub() { return *hub_; }
  // Blocks until the node (its id) has parked connections, for kDialInMs at most: how long a node
  // that runs may take to come back.
  void WaitFor(const std::string& node, const std::string& name,
               const std::function<void(const std::string&)>& progress);

 private:
  static constexpr int kDialInMs = 15'000;
  HubEnd(RuntimeFolder folder, const std::shared_ptr<const Credentials>& own)
      : folder_(std::move(folder)), authenticator_(own) {}
  RuntimeFolder folder_;
  MeshTunnels authenticator_;
  std::unique_ptr<TunnelHub> hub_;
};

class NodeEnd {
 public:
  // `own` is the node, `own_port` its server, if it is to be reached through the hub, too.
  static Result<std::unique_ptr<NodeEnd>> Start(const Address& hub,
                                                const std::shared_ptr<const Credentials>& own,
                                                const std::optional<Address>& own_port,
                                                const RuntimeFolder& folder);

  TunnelClient& client() { return *client_; }

 private:
  explicit NodeEnd(const std::shared_ptr<const Credentials>& own) : authenticator_(own) {}
  MeshTunnels authenticator_;
  std::unique_ptr<TunnelClient> client_;
};

// Of a node that others can dial, which may have to reach some that it cannot dial: made when it
// first has to, for the hub of the coordinator that it serves then.
//
// Thread rule: safe from any thread.
class RelayEnd {
 public:
  explicit RelayEnd(std::shared_ptr<const Credentials> own) : own_(std::move(own)) {}

  // See NodeOptions::relay.
  Result<Address> RelayTo(const std::string& node, const Address& hub);

 private:
  const std::shared_ptr<const Credentials> own_;  // shared with the node's channels
  std::mutex mutex_;                              // guards the rest
  std::optional<RuntimeFolder> folder_;
  Address hub_;
  std::unique_ptr<NodeEnd> end_;
};

}  // namespace shoal
