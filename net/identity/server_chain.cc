#include "net/identity/server_chain.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/clock.h"
#include "base/file_descriptor.h"
#include "net/identity/openssl_handle.h"

namespace shoal {

namespace {

class Deadline {
 public:
  explicit Deadline(int timeout_ms) : end_ns_(clock_.NowNs() + timeout_ms * kNsPerMs) {}

  // False once the time is over.
  bool Wait(int fd, short events) const {
    pollfd entry{fd, events, 0};
    while (true) {
      const int64_t left_ms = (end_ns_ - clock_.NowNs()) / kNsPerMs;
      if (left_ms <= 0) return false;
      const int ready = ::poll(&entry, 1, static_cast<int>(left_ms));
      if (ready > 0) return true;
      if (ready < 0 && errno != EINTR) return false;
    }
  }

 private:
  SteadyClock clock_;
  const int64_t end_ns_;
};

// OpenSSL writes to sockets whose other end may be gone; that is an error, and no end of the
// process.
class NoSigPipe {
 public:
  NoSigPipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    CHECK(::pthread_sigmask(SIG_BLOCK, &pipe_, &before_) == 0, "a mask of signals");
  }
  ~NoSigPipe() {
    const timespec now = {};
    if (sigismember(&before_, SIGPIPE) == 0) ::sigtimedwait(&pipe_, nullptr, &now);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigPipe(const NoSigPipe&) = delete;
  NoSigPipe& operator=(const NoSigPipe&) = delete;

 private:
  sigset_t pipe_;
  sigset_t before_;
};

Result<FileDescriptor> Connect(const Address& address, const Deadline& deadline, Packets packets) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* all = nullptr;
  const int failed =
      ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &all);
  if (failed != 0) {
    return Unavailable(fmt::format("{}: {}", address.ToString(), ::gai_strerror(failed)));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(all, ::freeaddrinfo);
  int why = ETIMEDOUT;
  for (const addrinfo* entry = all; entry != nullptr; entry = entry->ai_next) {
    FileDescriptor tried(::socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!tried.is_open()) continue;
    if (packets == Packets::kSmall) {
      ::setsockopt(tried.get(), IPPROTO_TCP, TCP_MAXSEG, &kSmallSegmentBytes,
                   sizeof kSmallSegmentBytes);
    }
    if (::connect(tried.get(), entry->ai_addr, entry->ai_addrlen) != 0 && errno != EINPROGRESS) {
      why = errno;
      continue;
    }
    if (!deadline.Wait(tried.get(), POLLOUT)) break;
    socklen_t size = sizeof why;
    ::getsockopt(tried.get(), SOL_SOCKET, SO_ERROR, &why, &size);
    if (why == 0) return tried;
  }
  return Unavailable(fmt::format("{}: {}", address.ToString(), std::strerror(why)));
}

// What to offer for ALPN: HTTP/2, since gRPC's servers answer only those who do, and names that no
// server knows, of `padding` bytes or some more.
std::string Protocols(size_t padding) {
  constexpr size_t kNameBytes = 255;
  std::string offered = "\2h2";
  for (size_t padded = 0; padded < padding; padded += kNameBytes + 1) {
    offered += static_cast<char>(kNameBytes) + std::string(kNameBytes, '-');
  }
  return offered;
}

Status Handshake(SSL& ssl, const FileDescriptor& socket, const Deadline& deadline) {
  while (true) {
    const int done = SSL_connect(&ssl);
    if (done == 1) return OkStatus();
    const int reason = SSL_get_error(&ssl, done);
    ERR_clear_error();
    const short events = reason == SSL_ERROR_WANT_READ    ? POLLIN
                         : reason == SSL_ERROR_WANT_WRITE ? POLLOUT
                                                          : short{0};
    if (events == 0) return Unavailable("it does not speak TLS 1.3");
    if (!deadline.Wait(socket.get(), events)) return DeadlineExceeded("no TLS handshake in time");
  }
}

}  // namespace

Result<std::vector<std::string>> FetchServerChain(const Address& address, int timeout_ms,
                                                  Packets packets) {
  const Deadline deadline(timeout_ms);
  const NoSigPipe no_signal;
  ASSIGN_OR_RETURN(const FileDescriptor socket, Connect(address, deadline, packets));
  const SslContextHandle context(SSL_CTX_new(TLS_client_method()));
  const std::string protocols = Protocols(packets == Packets::kLarge ? kLargeMessageBytes : 0);
  CHECK(context != nullptr && SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) == 1 &&
            SSL_CTX_set_alpn_protos(context.get(),
                                    reinterpret_cast<const unsigned char*>(protocols.data()),
                                    static_cast<unsigned>(protocols.size())) == 0,
        "no TLS 1.3 in OpenSSL");
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  const SslHandle ssl(SSL_new(context.get()));
  CHECK(ssl != nullptr && SSL_set_fd(ssl.get(), socket.get()) == 1, "no TLS connection object");
  if (const Status shaken = Handshake(*ssl, socket, deadline); !shaken.ok()) {
    return shaken.error().WithContext(address.ToString());
  }
  STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl.get());
  const int count = sk_X509_num(chain);
  if (count < 1 || count > static_cast<int>(kMaxChain)) {
    return InvalidArgument(fmt::format("{}: shows {} certificates, expected 1 to {}",
                                       address.ToString(), count, kMaxChain));
  }
  std::vector<std::string> pems;
  for (int i = 0; i < count; ++i) {
    const BioHandle bio(BIO_new(BIO_s_mem()));
    char* data = nullptr;
    if (PEM_write_bio_X509(bio.get(), sk_X509_value(chain, i)) != 1) {
      return InternalError(address.ToString() + ": its certificate cannot be written as PEM");
    }
    const long size = BIO_get_mem_data(bio.get(), &data);
    pems.emplace_back(data, static_cast<size_t>(size));
  }
  return pems;
}

}  // namespace shoal
