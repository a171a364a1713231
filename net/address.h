// Where a node listens or is reached: a Unix socket, a TCP port, or by relay.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace shoal {

struct Address {
  std::string unix_path;  // set: a Unix socket, and the rest is unused
  std::string host;
  uint16_t port = 0;  // 0: any free port (to listen only)
  // Set: the node of that name is reached through the hub of a coordinator (see net/tunnel/hub.h),
  // which listens on `port` there, if that is not 0; the rest is unused.
  std::string relay_node = {};

  bool is_unix() const { return !unix_path.empty(); }
  bool is_relay() const { return !relay_node.empty(); }
  // A Unix socket, localhost, 127.0.0.0/8 or ::1: nobody on the network can reach it.
  bool is_local() const;
  bool operator==(const Address&) const = default;
  // What ParseAddress reads and, but for a relay, gRPC takes.
  std::string ToString() const;
};

// Reads "unix:/path", "host:port", "[v6]:port" and "relay:NAME", with or without ":port". Errors
// name the text and what is expected.
Result<Address> ParseAddress(std::string_view text);

}  // namespace shoal
