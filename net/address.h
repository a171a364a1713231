// Where a node listens or is reached: a Unix socket or a TCP port.
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

  bool is_unix() const { return !unix_path.empty(); }
  // A Unix socket, localhost, 127.0.0.0/8 or ::1: nobody on the network can reach it.
  bool is_local() const;
  // "unix:/path", "host:port" or "[v6]:port": what ParseAddress reads and gRPC takes.
  std::string ToString() const;
};

// Reads "unix:/path", "host:port" and "[v6]:port". Errors name the text and what is expected.
Result<Address> ParseAddress(std::string_view text);

}  // namespace shoal
