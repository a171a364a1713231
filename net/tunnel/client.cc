#include "net/tunnel/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <random>
#include <utility>

#include "base/log.h"
#include "net/tunnel/asio.h"
#include "net/tunnel/io_thread.h"
#include "net/tunnel/local_sockets.h"
#include "net/tunnel/sockets.h"

namespace shoal {

namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr int kFirstBackoffMs = 100;
constexpr int kMostBackoffMs = 5000;
constexpr int kMostDoublings = 10;
constexpr std::chrono::milliseconds kPingMs(15'000);

// The hub's answer to a preamble.
asio::awaitable<Status> ReadAnswer(SharedSocket socket) {
  const std::string answer = co_await ReadExactly(socket, 1);
  if (answer.empty()) co_return Unavailable("the hub closed the connection");
  if (answer[0] == kAccepted) co_return OkStatus();
  const std::string size = co_await ReadExactly(socket, 1);
  if (size.empty()) co_return Unavailable("the hub closed the connection");
  std::string why = co_await ReadExactly(socket, static_cast<uint8_t>(size[0]));
  // It goes to the log.
  std::replace_if(
      why.begin(), why.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  co_return FailedPrecondition("the hub refuses: " + why);
}

// Keeps a parked connection alive until the hub says that it is wanted; false if it is lost.
asio::awaitable<bool> WaitForGo(SharedSocket socket) {
  while (true) {
    char byte = 0;
    error_code failed;
    {
      const SocketDeadline ping(socket, kPingMs, SocketDeadline::Then::kAbort);
      co_await socket->async_read_some(asio::buffer(&byte, 1), Into(failed));
    }
    if (!failed) co_return byte == kGo;
    if (failed != asio::error::operation_aborted) co_return false;
    std::string said(1, kPing);
    if (!co_await WriteAll(socket, std::move(said))) co_return false;
  }
}

}  // namespace

std::chrono::milliseconds TunnelBackoff(int failures, double share) {
  const int whole_ms =
      std::min(kFirstBackoffMs << std::min(failures - 1, kMostDoublings), kMostBackoffMs);
  return std::chrono::milliseconds(static_cast<int>(whole_ms * (1 - share / 2)));
}

class TunnelClient::Impl {
 public:
  Impl(const TunnelClientOptions& options, const TunnelAuthenticator& authenticator)
      : options_(options),
        authenticator_(authenticator),
        locals_(io_.context(), options.folder, [this](StreamSocket accepted, std::string node) {
          io_.Spawn(Relay(std::make_shared<StreamSocket>(std::move(accepted)), std::move(node)));
        }) {}
  ~Impl() { io_.Stop(); }

  void Start() {
    for (int i = 0; options_.own_port && i < options_.parked; ++i) {
      io_.Spawn(KeepParked(*options_.own_port));
    }
    io_.Start();
  }
  Result<Address> RelayTo(const std::string& node) {
    return io_.Run([&] { return locals_.Of(node); });
  }

 private:
  asio::awaitable<Result<SharedSocket>> Open(TunnelPurpose purpose, std::string target);
  asio::awaitable<void> KeepParked(Address own_port);
  asio::awaitable<void> Serve(SharedSocket socket, Address own_port);
  asio::awaitable<void> Relay(SharedSocket local, std::string node);
  void NoteHub(const Status& reached);

  const TunnelClientOptions options_;
  const TunnelAuthenticator& authenticator_;

  IoThread io_;
  // The thread's alone.
  LocalSockets locals_;
  std::minstd_rand random_{std::random_device()()};
  std::string last_trouble_;  // so that each is said once
};

// A connection to the hub that it has accepted.
asio::awaitable<Result<SharedSocket>> TunnelClient::Impl::Open(TunnelPurpose purpose,
                                                               std::string target) {
  const Result<SharedSocket> dialled = co_await DialSocket(options_.hub);
  if (!dialled.ok()) co_return dialled;
  const SharedSocket socket = *dialled;
  // A relay's answer waits for the other node's.
  const SocketDeadline deadline(socket, 2 * kTunnelHandshakeMs);
  const std::string greeting = co_await ReadExactly(socket, kGreetingBytes);
  if (greeting.empty()) co_return Unavailable("the hub closed the connection");
  const Result<TunnelNonce> nonce = ParseGreeting(greeting);
  if (!nonce.ok()) co_return nonce.error();
  TunnelPreamble preamble{purpose, options_.mesh, options_.node, std::move(target), ""};
  Result<std::string> proof = authenticator_.Prove(SignedText(*nonce, preamble));
  if (!proof.ok()) co_return proof.error();
  preamble.proof = std::move(*proof);
  std::string bytes = PreambleBytes(preamble);
  co_await WriteAll(socket, std::move(bytes));
  const Status answer = co_await ReadAnswer(socket);
  if (!answer.ok()) co_return answer.error();
  co_return socket;
}

void TunnelClient::Impl::NoteHub(const Status& reached) {
  const std::string trouble = reached.ok() ? "" : reached.error().message;
  if (trouble == last_trouble_) return;
  last_trouble_ = trouble;
  const std::string hub = options_.hub.ToString();
  if (reached.ok()) {
    spdlog::info("the hub at {} has this node's connections", hub);
  } else {
    spdlog::warn("the hub at {}: {}; trying again", hub, trouble);
  }
}

// One connection after the other.
asio::awaitable<void> TunnelClient::Impl::KeepParked(Address own_port) {
  int failures = 0;
  while (true) {
    const Result<SharedSocket> parked = co_await Open(TunnelPurpose::kPark, "");
    NoteHub(parked.ok() ? OkStatus() : Status(parked.error()));
    if (parked.ok()) {
      failures = 0;
      if (co_await WaitForGo(*parked)) {
        io_.Spawn(Serve(*parked, own_port));
        continue;
      }
    }
    const double share = std::uniform_real_distribution<>()(random_);
    asio::steady_timer pause(io_.context(), TunnelBackoff(++failures, share));
    error_code ignored;
    co_await pause.async_wait(Into(ignored));
  }
}

// Only a connection to the node's own port is worth an answer.
asio::awaitable<void> TunnelClient::Impl::Serve(SharedSocket socket, Address own_port) {
  const Result<SharedSocket> own = co_await DialSocket(own_port);
  if (!own.ok()) {
    spdlog::warn("tunnel: the node's own port: {}", own.error().message);
    co_return;
  }
  std::string go(1, kGo);
  if (co_await WriteAll(socket, std::move(go))) Splice(socket, *own, nullptr);
}

asio::awaitable<void> TunnelClient::Impl::Relay(SharedSocket local, std::string node) {
  const Result<SharedSocket> remote = co_await Open(TunnelPurpose::kRelay, node);
  if (remote.ok()) {
    Splice(local, *remote, nullptr);
  } else {
    spdlog::warn("relay to node {}: {}", node, remote.error().message);
  }
}

TunnelClient::TunnelClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TunnelClient::~TunnelClient() = default;

Result<std::unique_ptr<TunnelClient>> TunnelClient::Start(
    const TunnelClientOptions& options, const TunnelAuthenticator& authenticator) {
  for (const std::string& name : {options.mesh, options.node}) {
    if (!IsTunnelName(name)) {
      return InvalidArgument(
          fmt::format("tunnel: '{}' is not a name: 1 to {} letters, digits, '-', '_' and '.'", name,
                      kMaxTunnelNameBytes));
    }
  }
  auto impl = std::make_unique<Impl>(options, authenticator);
  impl->Start();
  return std::unique_ptr<TunnelClient>(new TunnelClient(std::move(impl)));
}

Result<Address> TunnelClient::RelayTo(const std::string& node) { return impl_->RelayTo(node); }

}  // namespace shoal
