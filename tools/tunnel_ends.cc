#include "tools/tunnel_ends.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

namespace shoal {

namespace {

constexpr const char* kMesh = "local";
constexpr std::chrono::milliseconds kPoll(20);

Result<Address> LocalTcp(const char* option, const std::string& text) {
  ASSIGN_OR_RETURN(Address address, ParseAddress(text));
  if (address.is_unix() || address.is_relay()) {
    return InvalidArgument(fmt::format("{} {}: expected HOST:PORT", option, text));
  }
  if (!address.is_local()) {
    return FailedPrecondition(
        fmt::format("{} {}: nodes that dial in do not prove who they are, so this must be an "
                    "address that only this machine can reach (an SSH tunnel's end, for one)",
                    option, text));
  }
  return address;
}

}  // namespace

Result<std::unique_ptr<HubEnd>> HubEnd::Start(const std::string& listen) {
  TunnelHubOptions options;
  ASSIGN_OR_RETURN(options.listen, LocalTcp("--hub-listen", listen));
  ASSIGN_OR_RETURN(RuntimeFolder folder, RuntimeFolder::Make());
  options.mesh = kMesh;
  options.folder = folder.path();
  std::unique_ptr<HubEnd> end(new HubEnd(std::move(folder)));
  ASSIGN_OR_RETURN(end->hub_, TunnelHub::Start(options, end->authenticator_));
  return end;
}

void HubEnd::WaitFor(const std::string& node,
                     const std::function<void(const std::string&)>& progress) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kDialInMs);
  while (hub_->parked(node) == 0 && std::chrono::steady_clock::now() < end) {
    progress("waiting for node " + node + " to dial in");
    std::this_thread::sleep_for(kPoll);
  }
}

Result<std::unique_ptr<NodeEnd>> NodeEnd::Start(const std::string& hub, const std::string& node,
                                                const Address& own_port,
                                                const RuntimeFolder& folder) {
  TunnelClientOptions options;
  ASSIGN_OR_RETURN(options.hub, LocalTcp("--dial", hub));
  options.mesh = kMesh;
  options.node = node;
  options.own_port = own_port;
  options.folder = folder.path();
  std::unique_ptr<NodeEnd> end(new NodeEnd);
  ASSIGN_OR_RETURN(end->client_, TunnelClient::Start(options, end->authenticator_));
  return end;
}

}  // namespace shoal
