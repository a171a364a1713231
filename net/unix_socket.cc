#include "net/unix_socket.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

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

namespace {

Error SocketError(const std::string& path, const char* what) {
  return Unavailable(fmt::format("unix:{}: {}: {}", path, what, std::strerror(errno)));
}

}  // namespace

Result<FileDescriptor> ListenOnUnixSocket(const std::string& path, int backlog) {
  ASSIGN_OR_RETURN(const sockaddr_un name, UnixSocketName(path));
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return SocketError(path, "no socket");
  ::unlink(path.c_str());
  // Linux gives the file the socket's own mode, less the umask, which is the whole process's.
  if (::fchmod(socket.get(), S_IRUSR | S_IWUSR) != 0 ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) != 0 ||
      ::listen(socket.get(), backlog) != 0) {
    return SocketError(path, "cannot listen");
  }
  return socket;
}

Result<FileDescriptor> ConnectToUnixSocket(const std::string& path) {
  ASSIGN_OR_RETURN(const sockaddr_un name, UnixSocketName(path));
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return SocketError(path, "no socket");
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) != 0) {
    return NotFound(fmt::format("unix:{}: nobody listens: {}", path, std::strerror(errno)));
  }
  return socket;
}

Result<Listener> FindListener(const std::string& path, int timeout_ms) {
  ASSIGN_OR_RETURN(const sockaddr_un name, UnixSocketName(path));
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.is_open()) return SocketError(path, "no socket");
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
