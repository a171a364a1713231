#include "net/unix_socket.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/file_descriptor.h"

namespace shoal {

Result<sockaddr_un> UnixSocketName(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof(name.sun_path)) {
    return InvalidArgument(
        fmt::format("{}: {} bytes are too many for a socket's path, which has {}", path,
                    path.size(), sizeof(name.sun_path) - 1));
  }
  path.copy(name.sun_path, sizeof(name.sun_path) - 1);
  return name;
}

Result<Listener> FindListener(const std::string& path, int timeout_ms) {
  ASSIGN_OR_RETURN(const sockaddr_un name, UnixSocketName(path));
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.is_open()) {
    return Unavailable(fmt::format("unix:{}: no socket: {}", path, std::strerror(errno)));
  }
  Listener found = Listener::kSilent;
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0) {
    pollfd waiting = {socket.get(), POLLIN, 0};
    if (::poll(&waiting, 1, timeout_ms) > 0) found = Listener::kSpeaks;
  } else if (errno != EAGAIN) {  // which says that too many wait to be let in
    found = Listener::kNone;
  }
  return found;
}

}  // namespace shoal
