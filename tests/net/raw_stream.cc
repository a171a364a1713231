#include "tests/net/raw_stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/un.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "base/check.h"

namespace shoal {

namespace {

constexpr int kPatienceMs = 60'000;
constexpr size_t kMostAtOnce = 64 << 10;

sockaddr_un UnixName(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof(name.sun_path) - 1);
  return name;
}

}  // namespace

RawStream::RawStream(const Address& address)
    : fd_(::socket(address.is_unix() ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  int failed = 0;
  if (address.is_unix()) {
    const sockaddr_un name = UnixName(address.unix_path);
    failed = ::connect(fd_, reinterpret_cast<const sockaddr*>(&name), sizeof(name));
  } else {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(address.port);
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    failed = ::connect(fd_, reinterpret_cast<const sockaddr*>(&name), sizeof(name));
  }
  CHECK(failed == 0, address.ToString());
}

bool RawStream::Send(const std::string& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t count = ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return false;
    sent += static_cast<size_t>(count);
  }
  return true;
}

std::string RawStream::ReceiveUpTo(size_t most) {
  pollfd entry{fd_, POLLIN, 0};
  if (::poll(&entry, 1, kPatienceMs) != 1) return "";
  std::string bytes(most, '\0');
  const ssize_t count = ::recv(fd_, bytes.data(), bytes.size(), 0);
  bytes.resize(count > 0 ? static_cast<size_t>(count) : 0);
  return bytes;
}

std::string RawStream::Receive(size_t bytes) {
  std::string text;
  while (text.size() < bytes) {
    const std::string some = ReceiveUpTo(std::min(kMostAtOnce, bytes - text.size()));
    if (some.empty()) break;
    text += some;
  }
  return text;
}

std::string RawStream::ReceiveSome() { return ReceiveUpTo(kMostAtOnce); }

std::string RawStream::ReceiveAll() { return Receive(std::numeric_limits<size_t>::max()); }

size_t RawStream::SendWithoutWaiting(size_t most) {
  constexpr int kQuietMs = 300;  // for so long nothing more is taken: it is stuck
  const std::vector<char> buffer(64 << 10, 'x');
  size_t sent = 0;
  pollfd entry{fd_, POLLOUT, 0};
  while (sent < most && ::poll(&entry, 1, kQuietMs) == 1) {
    const ssize_t count = ::send(fd_, buffer.data(), std::min(buffer.size(), most - sent),
                                 MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count <= 0) break;
    sent += static_cast<size_t>(count);
  }
  return sent;
}

int ListenUnix(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un name = UnixName(path);
  CHECK(::bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0, path);
  CHECK(::listen(fd, SOMAXCONN) == 0, path);
  return fd;
}

}  // namespace shoal
