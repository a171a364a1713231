#include "tools/control_socket.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <utility>

#include "base/check.h"
#include "net/unix_socket.h"

namespace shoal {

namespace {

constexpr int kLineMs = 3000;  // for a peer to send its line
constexpr int kBacklog = 8;

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
  if (ConnectToUnixSocket(path).ok()) {
    return FailedPrecondition(fmt::format("{}: another process listens there", path));
  }
  ASSIGN_OR_RETURN(FileDescriptor socket, ListenOnUnixSocket(path, kBacklog));
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
  ASSIGN_OR_RETURN(const FileDescriptor socket, ConnectToUnixSocket(path));
  std::optional<std::string> answer;
  if (WriteLine(socket.get(), line)) answer = ReadLine(socket.get());
  if (!answer) return DeadlineExceeded(fmt::format("{}: no answer came", path));
  return *answer;
}

}  // namespace shoal
