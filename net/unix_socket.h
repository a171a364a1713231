// Who listens on a Unix socket, found out by connecting to it.
#pragma once

#include <string>

#include "base/result.h"

namespace shoal {

enum class Listener {
  kNone,    // nobody listens
  kSilent,  // somebody does, but said nothing in time: a process that is stopped, say
  kSpeaks,
};

// Waits for the first byte of whoever listens at `path`, at most `timeout_ms` (0: does not wait). A
// gRPC server speaks first. Error: no socket could be made to ask with.
Result<Listener> FindListener(const std::string& path, int timeout_ms);

}  // namespace shoal
