#include "tests/support/delay_proxy.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <utility>

namespace shoal {

namespace {

using Time = std::chrono::steady_clock::time_point;

// What came in one read, and when it may go on.
struct Piece {
  Time due;
  std::vector<char> bytes;  // none: the end
};

sockaddr_in AddressOf(const std::string& host, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = host.empty() ? htonl(INADDR_ANY) : ::inet_addr(host.c_str());
  return address;
}

void SetNoDelay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

// One direction: a thread that reads, a thread that writes what is due.
class Relay {
 public:
  Relay(int from, int to, std::chrono::microseconds delay)
      : from_(from), to_(to), delay_(delay), reader_([this] { ReadThreadMain(); }), writer_([this] {
          WriteThreadMain();
        }) {}
  ~Relay() {
    reader_.join();
    writer_.join();
  }

 private:
  void ReadThreadMain() {
    constexpr size_t kReadBytes = 256 << 10;
    while (true) {
      std::vector<char> bytes(kReadBytes);
      const ssize_t count = ::recv(from_, bytes.data(), bytes.size(), 0);
      bytes.resize(count > 0 ? static_cast<size_t>(count) : 0);
      const bool end = bytes.empty();
      {
        const std::lock_guard lock(mutex_);
        pieces_.push_back({std::chrono::steady_clock::now() + delay_, std::move(bytes)});
      }
      changed_.notify_one();
      if (end) return;
    }
  }

  void WriteThreadMain() {
    while (true) {
      Piece piece;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !pieces_.empty(); });
        piece = std::move(pieces_.front());
        pieces_.pop_front();
      }
      std::this_thread::sleep_until(piece.due);
      if (piece.bytes.empty()) break;
      size_t sent = 0;
      while (sent < piece.bytes.size()) {
        const ssize_t count =
            ::send(to_, piece.bytes.data() + sent, piece.bytes.size() - sent, MSG_NOSIGNAL);
        if (count <= 0) break;
        sent += static_cast<size_t>(count);
      }
      if (sent < piece.bytes.size()) break;
    }
    // Both ends learn that this direction is over, and the reader wakes up if it waits.
    ::shutdown(to_, SHUT_WR);
    ::shutdown(from_, SHUT_RD);
  }

  const int from_;
  const int to_;
  const std::chrono::microseconds delay_;
  std::mutex mutex_;  // guards pieces_
  std::condition_variable changed_;
  std::deque<Piece> pieces_;
  std::thread reader_;
  std::thread writer_;
};

}  // namespace

class DelayProxy::Connection {
 public:
  Connection(int client, int server, std::chrono::microseconds delay)
      : client_(client),
        server_(server),
        there_(std::make_unique<Relay>(client, server, delay)),
        back_(std::make_unique<Relay>(server, client, delay)) {}
  ~Connection() {
    ::shutdown(client_, SHUT_RDWR);
    ::shutdown(server_, SHUT_RDWR);
    there_.reset();
    back_.reset();
    ::close(client_);
    ::close(server_);
  }

 private:
  const int client_;
  const int server_;
  std::unique_ptr<Relay> there_;
  std::unique_ptr<Relay> back_;
};

Result<std::unique_ptr<DelayProxy>> DelayProxy::Start(std::chrono::microseconds delay,
                                                      uint16_t listen_port,
                                                      const std::string& target_host,
                                                      uint16_t target_port) {
  std::unique_ptr<DelayProxy> proxy(new DelayProxy);
  proxy->delay_ = delay;
  proxy->target_host_ = target_host;
  proxy->target_port_ = target_port;
  proxy->listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(proxy->listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address = AddressOf("", listen_port);
  socklen_t size = sizeof(address);
  if (::bind(proxy->listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(proxy->listener_, SOMAXCONN) != 0 ||
      ::getsockname(proxy->listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return Unavailable(
        fmt::format("cannot listen on port {}: {}", listen_port, std::strerror(errno)));
  }
  proxy->port_ = ntohs(address.sin_port);
  proxy->accept_thread_ = std::thread([raw = proxy.get()] { raw->AcceptThreadMain(); });
  return proxy;
}

DelayProxy::~DelayProxy() {
  if (listener_ >= 0) ::shutdown(listener_, SHUT_RDWR);
  if (accept_thread_.joinable()) accept_thread_.join();
  connections_.clear();
  if (listener_ >= 0) ::close(listener_);
}

void DelayProxy::AcceptThreadMain() {
  while (true) {
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = AddressOf(target_host_, target_port_);
    if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      ::close(server);
      ::close(client);
      continue;
    }
    SetNoDelay(client);
    SetNoDelay(server);
    connections_.push_back(std::make_unique<Connection>(client, server, delay_));
  }
}

}  // namespace shoal
