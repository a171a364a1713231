#include "net/tunnel/local_sockets.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "net/tunnel/preamble.h"

namespace shoal {

LocalSockets::~LocalSockets() {
  for (const auto& [node, one] : listening_) ::unlink(one.address.unix_path.c_str());
}

Result<Address> LocalSockets::Of(const std::string& node) {
  if (!IsTunnelName(node)) {
    return InvalidArgument(fmt::format("tunnel: '{}' is not a node's name", node));
  }
  const auto known = listening_.find(node);
  if (known != listening_.end()) return known->second.address;
  ASSIGN_OR_RETURN(Address address, ParseAddress(fmt::format("unix:{}/{}.sock", folder_, node)));
  ::unlink(address.unix_path.c_str());
  ASSIGN_OR_RETURN(Acceptor acceptor, ListenOn(io_, address));
  const auto made = listening_.try_emplace(node, Listening{address, std::move(acceptor)}).first;
  boost::asio::co_spawn(
      io_,
      AcceptLoop(made->second.acceptor,
                 [this, node](StreamSocket socket) { on_connect_(std::move(socket), node); }),
      boost::asio::detached);
  return address;
}

}  // namespace shoal
