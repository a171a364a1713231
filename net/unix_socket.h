// Unix sockets: their names for the system, both ends of a stream, and who listens on one, found
// out by connecting to it.
#pragma once

#include <sys/un.h>

#include <string>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace shoal {

// Error: a path longer than such a name holds.
Result<sockaddr_un> UnixSocketName(const std::string& path);

// A listening socket of mode 0600 in place of any file at `path`. Errors: the path is too long, or
// its folder takes no file.
Result<FileDescriptor> ListenOnUnixSocket(const std::string& path, int backlog);
// Errors: kNotFound if nobody listens there; the path is too long.
Result<FileDescriptor> ConnectToUnixSocket(const std::string& path);

enum class Listener {
  kNone,    // nobody listens
  kSilent,  // somebody does, but said nothing in time: a process that is stopped, say
  kSpeaks,
};

// Waits for the first byte of whoever listens at `path`, at most `timeout_ms` (0: does not wait). A
// gRPC server speaks first. Errors: a path too long, no socket could be made to ask with.
Result<Listener> FindListener(const std::string& path, int timeout_ms);

}  // namespace shoal
