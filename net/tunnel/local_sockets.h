// Unix sockets in one folder that stand for nodes: whoever connects to one wants that node.
//
// Thread rule: the io_context's thread.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/result.h"
#include "net/address.h"
#include "net/tunnel/sockets.h"

namespace shoal {

class LocalSockets {
 public:
  // `folder` exists and is for this user alone (mode 0700).
  LocalSockets(boost::asio::io_context& io, std::string folder,
               std::function<void(StreamSocket, std::string node)> on_connect)
      : io_(io), folder_(std::move(folder)), on_connect_(std::move(on_connect)) {}
  // Removes them.
  ~LocalSockets();

  // The one for a node, which is made if it is not there. Errors: a name that is no tunnel name,
  // the socket cannot be made.
  Result<Address> Of(const std::string& node);

 private:
  struct Listening {
    Address address;
    Acceptor acceptor;
  };
  boost::asio::io_context& io_;
  const std::string folder_;
  const std::function<void(StreamSocket, std::string)> on_connect_;
  std::map<std::string, Listening> listening_;
};

}  // namespace shoal
