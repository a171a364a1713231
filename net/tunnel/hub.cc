#include "net/tunnel/hub.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <array>
#include <deque>
#include <map>
#include <optional>

#include "base/log.h"
#include "net/tunnel/asio.h"
#include "net/tunnel/io_thread.h"
#include "net/tunnel/local_sockets.h"
#include "net/tunnel/sockets.h"

namespace shoal {

namespace {

namespace asio = boost::asio;
using boost::system::error_code;

// A connection that waits. Its reader takes what the node sends until it is the taker's.
struct Parked {
  Parked(SharedSocket its_socket, std::shared_ptr<void> its_lease)
      : socket(std::move(its_socket)),
        lease(std::move(its_lease)),
        answered(socket->get_executor()) {}
  SharedSocket socket;
  std::shared_ptr<void> lease;  // the node's share
  bool taken = false;           // the node was told to go, its answer is awaited
  bool ready = false;           // the node answered: the taker's
  asio::steady_timer answered;  // is cancelled then
};
using SharedParked = std::shared_ptr<Parked>;

Result<TunnelNonce> RandomNonce() {
  TunnelNonce nonce;
  if (RAND_bytes(nonce.data(), static_cast<int>(nonce.size())) == 1) return nonce;
  return InternalError("tunnel: no randomness for a nonce");
}

}  // namespace

class TunnelHub::Impl {
 public:
  Impl(const TunnelHubOptions& options, const TunnelAuthenticator& authenticator)
      : options_(options),
        authenticator_(authenticator),
        address_(options.listen),
        locals_(io_.context(), options.folder, [this](StreamSocket accepted, std::string node) {
          SharedSocket socket = Admit(std::move(accepted));
          if (socket != nullptr) io_.Spawn(Join(std::move(socket), std::move(node)));
        }) {}
  ~Impl() {
    io_.Stop();
    parked_.clear();
  }

  Status Listen();
  const Address& address() const { return address_; }
  Result<Address> SocketOf(const std::string& node);
  void RelayTo(const std::string& from, const std::string& to, const Address& address);
  int parked(const std::string& node);

 private:
  SharedSocket Admit(StreamSocket socket);
  int CountParked(const std::string& node) const;
  std::shared_ptr<void> LeaseFor(const std::string& node);
  asio::awaitable<void> Welcome(SharedSocket socket);
  asio::awaitable<Result<TunnelPreamble>> Shake(SharedSocket socket);
  Status CheckPreamble(const TunnelNonce& nonce, const TunnelPreamble& preamble);
  asio::awaitable<void> Park(SharedSocket socket, std::string node);
  asio::awaitable<void> Relay(SharedSocket socket, std::string node, std::string target);
  asio::awaitable<void> Join(SharedSocket local, std::string node);
  asio::awaitable<SharedParked> Take(std::string node);
  asio::awaitable<SharedSocket> Dial(std::string from, std::string to);

  const TunnelHubOptions options_;
  const TunnelAuthenticator& authenticator_;
  Address address_;

  // The thread's alone. Coroutines that are still waiting at the end are destroyed with io_, and
  // use the counts before it.
  int connections_ = 0;
  std::map<std::string, int> opened_;  // connections of each node that are parked or joined
  std::map<std::string, std::deque<SharedParked>> parked_;
  std::map<std::pair<std::string, std::string>, Address> relays_;  // from a node, to a node
  IoThread io_;
  LocalSockets locals_;
  std::optional<Acceptor> acceptor_;
};

Status TunnelHub::Impl::Listen() {
  if (!IsTunnelName(options_.mesh)) {
    return InvalidArgument(fmt::format("tunnel: '{}' is not a mesh's name", options_.mesh));
  }
  ASSIGN_OR_RETURN(acceptor_, ListenOn(io_.context(), options_.listen));
  address_.port = BoundPort(*acceptor_);
  io_.Spawn(AcceptLoop(*acceptor_, [this](StreamSocket accepted) {
    TuneTcp(accepted);
    SharedSocket socket = Admit(std::move(accepted));
    if (socket != nullptr) io_.Spawn(Welcome(std::move(socket)));
  }));
  io_.Start();
  return OkStatus();
}

Result<Address> TunnelHub::Impl::SocketOf(const std::string& node) {
  return io_.Run([&] { return locals_.Of(node); });
}

void TunnelHub::Impl::RelayTo(const std::string& from, const std::string& to,
                              const Address& address) {
  io_.Run([&] { return relays_[{from, to}] = address; });
}

int TunnelHub::Impl::parked(const std::string& node) {
  return io_.Run([&] { return CountParked(node); });
}

int TunnelHub::Impl::CountParked(const std::string& node) const {
  const auto found = parked_.find(node);
  return found == parked_.end() ? 0 : static_cast<int>(found->second.size());
}

// Nothing (and closed) where there are too many.
SharedSocket TunnelHub::Impl::Admit(StreamSocket socket) {
  if (connections_ >= options_.limits.connections) {
    spdlog::warn("tunnel: {} connections, the limit: one more is turned away", connections_);
    return nullptr;
  }
  ++connections_;
  return {new StreamSocket(std::move(socket)), [this](StreamSocket* closed) {
            --connections_;
            delete closed;
          }};
}

// One connection's share of what a node may have; nothing where it has that many.
std::shared_ptr<void> TunnelHub::Impl::LeaseFor(const std::string& node) {
  int& count = opened_[node];
  if (count >= options_.limits.per_node) return nullptr;
  ++count;
  return {&count, [this, node](void*) {
            const auto found = opened_.find(node);
            if (--found->second == 0) opened_.erase(found);
          }};
}

asio::awaitable<void> TunnelHub::Impl::Welcome(SharedSocket socket) {
  Result<TunnelPreamble> preamble = co_await Shake(socket);
  if (!preamble.ok()) {
    spdlog::info("{}: turned away", preamble.error().message);
    std::string refusal = RefusalBytes(preamble.error().message);
    const SocketDeadline deadline(socket, options_.limits.handshake);
    co_await WriteAll(socket, std::move(refusal));
  } else if (preamble->purpose == TunnelPurpose::kPark) {
    co_await Park(std::move(socket), preamble->node);
  } else {
    co_await Relay(std::move(socket), preamble->node, preamble->target);
  }
}

asio::awaitable<Result<TunnelPreamble>> TunnelHub::Impl::Shake(SharedSocket socket) {
  const SocketDeadline deadline(socket, options_.limits.handshake);
  const Result<TunnelNonce> nonce = RandomNonce();
  if (!nonce.ok()) co_return nonce.error();
  std::string greeting = GreetingBytes(*nonce);
  co_await WriteAll(socket, std::move(greeting));
  const std::string header_bytes = co_await ReadExactly(socket, kPreambleHeaderBytes);
  if (header_bytes.empty()) co_return Unavailable("tunnel: the connection ended before a preamble");
  const Result<PreambleHeader> header = ParsePreambleHeader(header_bytes);
  if (!header.ok()) co_return header.error();
  const std::string body = co_await ReadExactly(socket, header->body_bytes);
  if (body.empty()) co_return Unavailable("tunnel: the connection ended within the preamble");
  Result<TunnelPreamble> preamble = ParsePreambleBody(header->purpose, body);
  if (!preamble.ok()) co_return preamble;
  if (const Status checked = CheckPreamble(*nonce, *preamble); !checked.ok()) {
    co_return checked.error();
  }
  co_return preamble;
}

Status TunnelHub::Impl::CheckPreamble(const TunnelNonce& nonce, const TunnelPreamble& preamble) {
  if (preamble.mesh != options_.mesh) {
    return FailedPrecondition(fmt::format("tunnel: node {} is of mesh {}, this hub of mesh {}",
                                          preamble.node, preamble.mesh, options_.mesh));
  }
  const Status verified = authenticator_.Verify(preamble, SignedText(nonce, preamble));
  if (!verified.ok()) return verified.error().WithContext("tunnel: node " + preamble.node);
  return OkStatus();
}

asio::awaitable<void> TunnelHub::Impl::Park(SharedSocket socket, std::string node) {
  std::shared_ptr<void> lease = LeaseFor(node);
  if (lease == nullptr || CountParked(node) >= options_.limits.parked_per_node) {
    std::string refusal = RefusalBytes("tunnel: node " + node + " has too many connections");
    co_await WriteAll(socket, std::move(refusal));
    co_return;
  }
  const auto parked = std::make_shared<Parked>(socket, std::move(lease));
  parked_[node].push_back(parked);
  std::string accepted(1, kAccepted);
  bool alive = co_await WriteAll(socket, std::move(accepted));
  while (alive && !parked->ready) {
    const SocketDeadline deadline(socket, options_.limits.silence);
    const std::string said = co_await ReadExactly(socket, 1);
    const char byte = said.empty() ? kRefused : said[0];
    parked->ready = byte == kGo && parked->taken;
    alive = byte == kPing || parked->ready;
  }
  std::erase(parked_[node], parked);
  if (parked_[node].empty()) parked_.erase(node);
  if (!alive) {
    error_code ignored;
    socket->close(ignored);
  }
  parked->answered.cancel();
}

// One of the node's parked connections, ready to carry bytes; nothing if there is none. Those that
// do not answer are closed.
asio::awaitable<SharedParked> TunnelHub::Impl::Take(std::string node) {
  for (auto found = parked_.find(node); found != parked_.end(); found = parked_.find(node)) {
    const SharedParked parked = found->second.front();
    found->second.pop_front();
    if (found->second.empty()) parked_.erase(found);
    parked->taken = true;
    std::string go(1, kGo);
    const bool written = co_await WriteAll(parked->socket, std::move(go));
    if (written && !parked->ready && parked->socket->is_open()) {
      parked->answered.expires_after(options_.limits.handshake);
      error_code cancelled;
      co_await parked->answered.async_wait(Into(cancelled));
    }
    if (parked->ready) co_return parked;
    error_code ignored;
    parked->socket->close(ignored);
  }
  co_return nullptr;
}

asio::awaitable<void> TunnelHub::Impl::Relay(SharedSocket socket, std::string node,
                                             std::string target) {
  std::shared_ptr<void> lease = LeaseFor(node);
  SharedParked parked;
  if (lease != nullptr) parked = co_await Take(target);
  SharedSocket other;
  if (parked != nullptr) {
    other = parked->socket;
  } else if (lease != nullptr) {
    other = co_await Dial(node, target);
  }
  if (other == nullptr) {
    std::string refusal = RefusalBytes(
        lease == nullptr ? "tunnel: node " + node + " has too many connections"
                         : "tunnel: node " + target + " has no connection waiting here");
    co_await WriteAll(socket, std::move(refusal));
    co_return;
  }
  std::string accepted(1, kAccepted);
  if (!co_await WriteAll(socket, std::move(accepted))) co_return;
  std::array<std::shared_ptr<void>, 2> leases = {std::move(lease), nullptr};
  if (parked != nullptr) leases[1] = parked->lease;
  Splice(socket, other, std::make_shared<std::array<std::shared_ptr<void>, 2>>(leases));
}

// Nothing: the hub was not told to, or does not reach it.
asio::awaitable<SharedSocket> TunnelHub::Impl::Dial(std::string from, std::string to) {
  const auto known = relays_.find({from, to});
  if (known == relays_.end()) co_return nullptr;
  const Result<SharedSocket> dialled = co_await DialSocket(known->second);
  if (dialled.ok()) co_return *dialled;
  spdlog::warn("tunnel: {}", dialled.error().message);
  co_return nullptr;
}

asio::awaitable<void> TunnelHub::Impl::Join(SharedSocket local, std::string node) {
  const SharedParked remote = co_await Take(node);
  if (remote != nullptr) Splice(local, remote->socket, remote->lease);
}

TunnelHub::TunnelHub(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TunnelHub::~TunnelHub() = default;

Result<std::unique_ptr<TunnelHub>> TunnelHub::Start(const TunnelHubOptions& options,
                                                    const TunnelAuthenticator& authenticator) {
  auto impl = std::make_unique<Impl>(options, authenticator);
  RETURN_IF_ERROR(impl->Listen());
  return std::unique_ptr<TunnelHub>(new TunnelHub(std::move(impl)));
}

const Address& TunnelHub::address() const { return impl_->address(); }
Result<Address> TunnelHub::SocketOf(const std::string& node) { return impl_->SocketOf(node); }
void TunnelHub::RelayTo(const std::string& from, const std::string& to, const Address& address) {
  impl_->RelayTo(from, to, address);
}
int TunnelHub::parked(const std::string& node) const { return impl_->parked(node); }

}  // namespace shoal
