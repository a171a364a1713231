#include "net/unix_socket.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace shoal {

Result<Listener> FindListener(const std::string& path, int timeout_ms) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof(name.sun_path) - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Unavailable(fmt::format("unix:{}: no socket: {}", path, std::strerror(errno)));
  Listener found = Listener::kSilent;
  if (::connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0) {
    pollfd waiting = {fd, POLLIN, 0};
    if (::poll(&waiting, 1, timeout_ms) > 0) found = Listener::kSpeaks;
  } else if (errno != EAGAIN) {  // which says that too many wait to be let in
    found = Listener::kNone;
  }
  ::close(fd);
  return found;
}

}  // namespace shoal
