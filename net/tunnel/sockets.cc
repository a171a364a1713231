#include "net/tunnel/sockets.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/write.hpp>
#include <cstring>
#include <vector>

namespace shoal {

namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Endpoint = asio::generic::stream_protocol::endpoint;

constexpr std::chrono::milliseconds kAcceptPauseMs(100);
constexpr unsigned kVanishedMs = 10'000;  // bytes unanswered for this long: the peer is gone
constexpr int kKeepAliveS = 10;

Error CannotReach(const Address& address, const error_code& failed) {
  return Unavailable(fmt::format("{}: {}", address.ToString(), failed.message()));
}

// Two sockets that are joined; closed when the last of the two directions is over.
struct Pair {
  Pair(SharedSocket first, SharedSocket second, std::shared_ptr<void> its_lease)
      : a(std::move(first)), b(std::move(second)), lease(std::move(its_lease)) {}
  ~Pair() { Close(); }
  void Close() {
    error_code ignored;
    a->close(ignored);
    b->close(ignored);
    linger.reset();
  }

  SharedSocket a;
  SharedSocket b;
  std::shared_ptr<void> lease;
  std::unique_ptr<SocketDeadline> linger;  // once one direction has ended
};

asio::awaitable<void> Pump(std::shared_ptr<Pair> pair, SharedSocket from, SharedSocket to) {
  std::vector<char> buffer(kSpliceBufferBytes);
  error_code failed;
  while (!failed) {
    const size_t count = co_await from->async_read_some(asio::buffer(buffer), Into(failed));
    if (count == 0) break;
    co_await asio::async_write(*to, asio::buffer(buffer.data(), count), Into(failed));
  }
  if (failed != asio::error::eof) {
    pair->Close();
    co_return;
  }
  to->shutdown(StreamSocket::shutdown_send, failed);
  if (pair->linger == nullptr) {
    pair->linger = std::make_unique<SocketDeadline>(to, kTunnelLingerMs);
  }
}

}  // namespace

SocketDeadline::SocketDeadline(SharedSocket socket, std::chrono::milliseconds timeout, Then then)
    : timer_(socket->get_executor(), timeout), over_(std::make_shared<bool>(false)) {
  timer_.async_wait([socket = std::move(socket), over = over_, then](const error_code& failed) {
    if (failed || *over) return;
    error_code ignored;
    if (then == Then::kClose) {
      socket->close(ignored);
    } else {
      socket->cancel(ignored);
    }
  });
}

SocketDeadline::~SocketDeadline() {
  *over_ = true;
  timer_.cancel();
}

asio::awaitable<Result<SharedSocket>> DialSocket(Address address) {
  const auto executor = co_await asio::this_coro::executor;
  auto socket = std::make_shared<StreamSocket>(executor);
  error_code failed;
  std::vector<Endpoint> endpoints;
  if (address.is_unix()) {
    endpoints.emplace_back(asio::local::stream_protocol::endpoint(address.unix_path));
  } else {
    asio::ip::tcp::resolver resolver(executor);
    const auto found =
        co_await resolver.async_resolve(address.host, std::to_string(address.port), Into(failed));
    if (failed) co_return CannotReach(address, failed);
    for (const auto& entry : found) endpoints.emplace_back(entry.endpoint());
  }
  const SocketDeadline deadline(socket, kTunnelConnectMs);
  for (const Endpoint& endpoint : endpoints) {
    co_await socket->async_connect(endpoint, Into(failed));
    if (!failed) {
      if (!address.is_unix()) TuneTcp(*socket);
      co_return socket;
    }
    if (failed == asio::error::operation_aborted) {  // the deadline, which is for all of them
      failed = asio::error::timed_out;
      break;
    }
    error_code ignored;
    socket->close(ignored);
  }
  co_return CannotReach(address, failed);
}

Result<Acceptor> ListenOn(asio::io_context& io, const Address& address) {
  error_code failed;
  Endpoint endpoint;
  if (address.is_unix()) {
    endpoint = Endpoint(asio::local::stream_protocol::endpoint(address.unix_path));
  } else {
    asio::ip::tcp::resolver resolver(io);
    const auto found = resolver.resolve(address.host, std::to_string(address.port),
                                        asio::ip::resolver_base::passive, failed);
    if (failed) return CannotReach(address, failed);
    endpoint = Endpoint(found.begin()->endpoint());
  }
  Acceptor acceptor(io);
  acceptor.open(endpoint.protocol(), failed);
  if (!failed && !address.is_unix()) {
    acceptor.set_option(asio::socket_base::reuse_address(true), failed);
  }
  if (!failed) acceptor.bind(endpoint, failed);
  if (!failed) acceptor.listen(asio::socket_base::max_listen_connections, failed);
  if (failed) return CannotReach(address, failed);
  return acceptor;
}

uint16_t BoundPort(const Acceptor& acceptor) {
  error_code ignored;
  const Endpoint local = acceptor.local_endpoint(ignored);
  sockaddr_storage name{};
  std::memcpy(&name, local.data(), std::min(local.size(), sizeof(name)));
  if (name.ss_family == AF_INET) return ntohs(reinterpret_cast<sockaddr_in&>(name).sin_port);
  if (name.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6&>(name).sin6_port);
  return 0;
}

asio::awaitable<void> AcceptLoop(Acceptor& acceptor, std::function<void(StreamSocket)> on_accept) {
  while (acceptor.is_open()) {
    error_code failed;
    StreamSocket socket(acceptor.get_executor());
    co_await acceptor.async_accept(socket, Into(failed));
    if (!failed) {
      on_accept(std::move(socket));
    } else if (failed != asio::error::operation_aborted) {
      asio::steady_timer pause(acceptor.get_executor(), kAcceptPauseMs);
      co_await pause.async_wait(Into(failed));
    }
  }
}

void Splice(const SharedSocket& a, const SharedSocket& b, std::shared_ptr<void> lease) {
  const auto pair = std::make_shared<Pair>(a, b, std::move(lease));
  asio::co_spawn(a->get_executor(), Pump(pair, a, b), asio::detached);
  asio::co_spawn(a->get_executor(), Pump(pair, b, a), asio::detached);
}

void TuneTcp(StreamSocket& socket) {
  const int fd = socket.native_handle();
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kKeepAliveS, sizeof(kKeepAliveS));
  ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &kVanishedMs, sizeof(kVanishedMs));
}

asio::awaitable<bool> WriteAll(SharedSocket socket, std::string bytes) {
  error_code failed;
  co_await asio::async_write(*socket, asio::buffer(bytes), Into(failed));
  co_return !failed;
}

asio::awaitable<std::string> ReadExactly(SharedSocket socket, size_t bytes) {
  std::string text(bytes, '\0');
  error_code failed;
  co_await asio::async_read(*socket, asio::buffer(text), Into(failed));
  if (failed) text.clear();
  co_return text;
}

}  // namespace shoal
