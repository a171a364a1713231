#include "tools/tunnel_ends.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

namespace shoal {

namespace {

constexpr std::chrono::milliseconds kPoll(20);

}  // namespace

Result<Address> TcpAddress(const char* option, const std::string& text) {
  ASSIGN_OR_RETURN(Address address, ParseAddress(text));
  if (!address.is_unix() && !address.is_relay()) return address;
  return InvalidArgument(fmt::format("{} {}: expected HOST:PORT", option, text));
}

Result<std::unique_ptr<HubEnd>> HubEnd::Start(const std::string& listen,
                                              const std::shared_ptr<const Credentials>& own) {
  TunnelHubOptions options;
  ASSIGN_OR_RETURN(options.listen, TcpAddress("--hub-listen", listen));
  ASSIGN_OR_RETURN(RuntimeFolder folder, RuntimeFolder::Make());
  options.mesh = own->self().mesh;
  options.folder = folder.path();
  std::unique_ptr<HubEnd> end(new HubEnd(std::move(folder), own));
  ASSIGN_OR_RETURN(end->hub_, TunnelHub::Start(options, end->authenticator_));
  return end;
}

void HubEnd::WaitFor(const std::string& node, const std::string& name,
                     const std::function<void(const std::string&)>& progress) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kDialInMs);
  while (hub_->parked(node) == 0 && std::chrono::steady_clock::now() < end) {
    progress("waiting for node " + name + " to dial in");
    std::this_thread::sleep_for(kPoll);
  }
}

Result<std::unique_ptr<NodeEnd>> NodeEnd::Start(const Address& hub,
                                                const std::shared_ptr<const Credentials>& own,
                                                const std::optional<Address>& own_port,
                                                const RuntimeFolder& folder) {
  TunnelClientOptions options;
  options.hub = hub;
  options.mesh = own->self().mesh;
  options.node = own->self().id;
  options.own_port = own_port;
  options.folder = folder.path();
  std::unique_ptr<NodeEnd> end(new NodeEnd(own));
  ASSIGN_OR_RETURN(end->client_, TunnelClient::Start(options, end->authenticator_));
  return end;
}

Result<Address> RelayEnd::RelayTo(const std::string& node, const Address& hub) {
  if (hub.port == 0) {
    return FailedPrecondition("relay:" + node + ": the coordinator names no hub that relays it");
  }
  const std::lock_guard lock(mutex_);
  if (!folder_) {
    ASSIGN_OR_RETURN(folder_, RuntimeFolder::Make());
  }
  if (end_ == nullptr || hub != hub_) {
    end_.reset();  // its sockets lie in the same folder
    ASSIGN_OR_RETURN(end_, NodeEnd::Start(hub, own_, std::nullopt, *folder_));
    hub_ = hub;
  }
  return end_->client().RelayTo(node);
}

}  // namespace shoal
