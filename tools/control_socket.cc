#include "tools/control_socket.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>

#include "base/check.h"
#include "net/unix_socket.h"

namespace shoal {

namespace {

constexpr int kLineMs = 3000;  // for a peer to send its line
constexpr int kBacklog = 8;

Error SocketError(const std::string& path, const char* what) {
  return Unavailable(fmt::format("{}: cannot {}: {}", path, what, std::strerror(errno)));
}

FileDescriptor OpenSocket() {
  return FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

bool Connect(const FileDescriptor& socket, const sockaddr_un& name) {
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0;
}

// A line of the peer's, without its end; none if it does not come whole in time.
std::optional<std::string> ReadLine(int fd) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::milliseconds(kLineMs);
  std::string line;
  while (line.size() <= ControlSocket::kMaxLineBytes) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd waiting = {fd, POLLIN, 0};
    if (left <= 0 || ::poll(&waiting, 1, static_cast<int>(left)) != 1) return std::nullopt;
    char byte = 0;
    if (::recv(fd, &byte, 1, 0) != 1) return std::nullopt;
    if (byte == '\n') return line;
    line += byte;
  }
  return std::nullopt;
}

bool WriteLine(int fd, const std::string& line) {
  const std::string bytes = line + "\n";  // fits a socket's buffer
  return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(bytes.size());
}

}  // namespace

Result<std::unique_ptr<ControlSocket>> ControlSocket::Listen(
    const std::string& path, std::function<std::string(const std::string&)> answer) {
  ASSIGN_OR_RETURN(const sockaddr_un name, UnixSocketName(path));
  FileDescriptor socket = OpenSocket();
  if (!socket.is_open()) return SocketError(path, "open a socket");
  if (Connect(socket, name)) {
    return FailedPrecondition(fmt::format("{}: another process listens there", path));
  }
  ::unlink(path.c_str());
  const mode_t before = ::umask(0177);
  const bool bound =
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0;
  ::umask(before);
  if (!bound || ::listen(socket.get(), kBacklog) != 0) return SocketError(path, "listen");
  return std::unique_ptr<ControlSocket>(
      new ControlSocket(path, std::move(socket), std::move(answer)));
}

ControlSocket::ControlSocket(std::string path, FileDescriptor socket,
                             std::function<std::string(const std::string&)> answer)
    : path_(std::move(path)),
      socket_(std::move(socket)),
      stop_(::eventfd(0, EFD_CLOEXEC)),
      answer_(std::move(answer)) {
  thread_ = std::thread([this] { ThreadMain(); });
}

ControlSocket::~ControlSocket() {
  const uint64_t one = 1;
  CHECK(::write(stop_.get(), &one, sizeof(one)) == sizeof(one), "an eventfd takes one");
  thread_.join();
  ::unlink(path_.c_str());
}

void ControlSocket::ThreadMain() {
  pollfd entries[2] = {{socket_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
  while (true) {
    if (::poll(entries, 2, -1) < 0) continue;
    if ((entries[1].revents & POLLIN) != 0) return;
    const FileDescriptor peer(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!peer.is_open()) continue;
    if (const std::optional<std::string> line = ReadLine(peer.get())) {
      WriteLine(peer.get(), answer_(*line));
    }
  }
}

Result<std::string> AskControlSocket(const std::string& path, const std::string& line) {
  ASSIGN_OR_RETURN(const sockaddr_un name, UnixSocketName(path));
  const FileDescriptor socket = OpenSocket();
  if (!socket.is_open()) return SocketError(path, "open a socket");
  if (!Connect(socket, name)) return NotFound(fmt::format("{}: nobody listens there", path));
  std::optional<std::string> answer;
  if (WriteLine(socket.get(), line)) answer = ReadLine(socket.get());
  if (!answer) return DeadlineExceeded(fmt::format("{}: no answer came", path));
  return *answer;
}

}  // namespace shoal
