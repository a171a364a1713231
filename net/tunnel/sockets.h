// What hub and client of tunnels share: sockets that are dialled, listened on, bounded in time and
// joined. Everything runs on the one thread of its io_context.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/address.h"
#include "net/tunnel/asio.h"

namespace shoal {

using SharedSocket = std::shared_ptr<StreamSocket>;
using Acceptor = boost::asio::basic_socket_acceptor<boost::asio::generic::stream_protocol>;

constexpr std::chrono::milliseconds kTunnelConnectMs(5000);
constexpr std::chrono::milliseconds kTunnelHandshakeMs(5000);
// After one direction of a joined pair has ended, the other gets this long.
constexpr std::chrono::milliseconds kTunnelLingerMs(30'000);
constexpr size_t kSpliceBufferBytes = 64 << 10;  // of each direction of each joined pair

// Closes a socket after `timeout`, unless destroyed before: what runs on it then fails. Or leaves
// it open, and only what runs on it at that time fails, with operation_aborted.
class SocketDeadline {
 public:
  enum class Then { kClose, kAbort };
  SocketDeadline(SharedSocket socket, std::chrono::milliseconds timeout, Then then = Then::kClose);
  ~SocketDeadline();
  SocketDeadline(const SocketDeadline&) = delete;
  SocketDeadline& operator=(const SocketDeadline&) = delete;

 private:
  boost::asio::steady_timer timer_;
  std::shared_ptr<bool> over_;  // shared with the timer's handler
};

// Connects within kTunnelConnectMs. Errors (kUnavailable) name the address.
boost::asio::awaitable<Result<SharedSocket>> DialSocket(Address address);

// Listens. A TCP port of 0 is any free one: see BoundPort. Errors (kUnavailable) name the address.
Result<Acceptor> ListenOn(boost::asio::io_context& io, const Address& address);
uint16_t BoundPort(const Acceptor& acceptor);

// Accepts until the acceptor is closed; goes on after errors that pass (too many open files).
// `acceptor` outlives the coroutine.
boost::asio::awaitable<void> AcceptLoop(Acceptor& acceptor,
                                        std::function<void(StreamSocket)> on_accept);

// Carries bytes both ways until both directions have ended, or one fails; an end of one direction
// is passed on. A reader that is slow holds up its writer: no more than a buffer of each direction
// is kept. `lease` is let go when it is over.
void Splice(const SharedSocket& a, const SharedSocket& b, std::shared_ptr<void> lease);

// For small messages, and so that a peer that vanished is noticed.
void TuneTcp(StreamSocket& socket);

// All or nothing; false if the connection failed.
boost::asio::awaitable<bool> WriteAll(SharedSocket socket, std::string bytes);
// Exactly so many bytes; empty if the connection ended before.
boost::asio::awaitable<std::string> ReadExactly(SharedSocket socket, size_t bytes);

}  // namespace shoal
