#include "tools/doctor_dial.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <vector>

#include "base/file_descriptor.h"
#include "base/wall_clock.h"
#include "net/identity/server_chain.h"
#include "net/identity/x509.h"
#include "net/tunnel/preamble.h"
#include "tools/curl_handle.h"

namespace shoal {

namespace {

using Peer = DoctorFacts::Peer;

constexpr int kDials = 5;
constexpr int kDialMs = 2000;
constexpr int kAnswerMs = 2000;

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

std::string Resolve(const std::string& host, int port, AddressList& into) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (failed != 0) return ::gai_strerror(failed);
  into.reset(list);
  return "";
}

// A connected socket, or none with errno.
FileDescriptor Dial(const addrinfo& to) {
  FileDescriptor socket(::socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.is_open()) return socket;
  int error = ::connect(socket.get(), to.ai_addr, to.ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    pollfd waiting = {socket.get(), POLLOUT, 0};
    socklen_t size = sizeof(error);
    if (::poll(&waiting, 1, kDialMs) != 1) {
      error = ETIMEDOUT;
    } else if (::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
      error = errno;
    }
  }
  if (error == 0) return socket;
  socket.Close();
  errno = error;
  return socket;
}

// What the kernel knows of the way to the other end.
std::optional<int> MtuOf(int fd, int family) {
  int mtu = 0;
  socklen_t size = sizeof(mtu);
  const int failed = family == AF_INET6 ? ::getsockopt(fd, IPPROTO_IPV6, IPV6_MTU, &mtu, &size)
                                        : ::getsockopt(fd, IPPROTO_IP, IP_MTU, &mtu, &size);
  return failed == 0 && mtu > 0 ? std::optional(mtu) : std::nullopt;
}

void MeasureWay(const addrinfo& to, Peer& peer) {
  std::vector<double> seconds;
  while (seconds.size() < kDials) {
    const auto began = std::chrono::steady_clock::now();
    const FileDescriptor socket = Dial(to);
    if (!socket.is_open()) {
      peer.error = std::strerror(errno);
      return;
    }
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
    peer.mtu = MtuOf(socket.get(), to.ai_family);
  }
  std::nth_element(seconds.begin(), seconds.begin() + kDials / 2, seconds.end());
  peer.round_trip_s = seconds[kDials / 2];
}

int KeepPacketsSmall(void*, curl_socket_t socket, curlsocktype) {
  ::setsockopt(socket, IPPROTO_TCP, TCP_MAXSEG, &kSmallSegmentBytes, sizeof kSmallSegmentBytes);
  return CURL_SOCKOPT_OK;
}

// The head of the reply to a HEAD request. Empty if none came; whoever answers is taken at its
// word.
std::string AskHttp(const std::string& url, Packets packets) {
  const size_t padding = packets == Packets::kLarge ? kLargeMessageBytes : 0;
  const std::unique_ptr<CURL, CurlFree> curl(curl_easy_init());
  const std::unique_ptr<curl_slist, CurlFree> headers(
      curl_slist_append(nullptr, ("X-Padding: " + std::string(padding, 'x')).c_str()));
  std::string head;
  curl_write_callback append = [](char* data, size_t size, size_t count, void* into) {
    constexpr size_t kMostBytes = 16 << 10;
    auto& text = *static_cast<std::string*>(into);
    if (text.size() + size * count > kMostBytes) return size_t{0};
    text.append(data, size * count);
    return size * count;
  };
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_NOBODY, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_PROXY, "");
  curl_easy_setopt(curl.get(), CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(curl.get(), CURLOPT_SSL_VERIFYPEER, 0L);
  curl_easy_setopt(curl.get(), CURLOPT_SSL_VERIFYHOST, 0L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, long{kAnswerMs});
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  if (packets == Packets::kSmall) {
    curl_easy_setopt(curl.get(), CURLOPT_SOCKOPTFUNCTION, KeepPacketsSmall);
  }
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl.get(), CURLOPT_HEADERFUNCTION, append);
  curl_easy_setopt(curl.get(), CURLOPT_HEADERDATA, &head);
  return curl_easy_perform(curl.get()) == CURLE_OK ? head : "";
}

// Of the Date header, as seconds ahead of this machine.
std::optional<int64_t> ClockAhead(const std::string& head) {
  constexpr const char* kDate = "\r\nDate: ";
  const size_t at = head.find(kDate);
  std::tm date = {};
  if (at == std::string::npos || ::strptime(head.c_str() + at + std::strlen(kDate),
                                            "%a, %d %b %Y %H:%M:%S GMT", &date) == nullptr) {
    return std::nullopt;
  }
  return static_cast<int64_t>(::timegm(&date)) - UnixNowS();
}

bool LookForMember(const Address& address, Peer& peer) {
  const Result<std::vector<std::string>> chain =
      FetchServerChain(address, kAnswerMs, Packets::kSmall);
  if (!chain.ok()) {
    peer.why_silent = chain.error().message;
    return false;
  }
  peer.why_silent = "its certificate is not of a mesh";
  const Result<CertificateFacts> facts = ReadCertificate(chain->front());
  if (!facts.ok()) return false;
  const Result<PeerIdentity> identity = facts->Identity();
  if (!identity.ok()) return false;
  peer.kind = Peer::Kind::kMember;
  peer.member = *identity;
  peer.not_before_unix_s = facts->not_before_unix_s;
  peer.not_after_unix_s = facts->not_after_unix_s;
  peer.loses_large = !FetchServerChain(address, kAnswerMs, Packets::kLarge).ok();
  return true;
}

bool LookForHttp(const Address& address, Peer& peer) {
  for (const char* scheme : {"http", "https"}) {
    const std::string url = fmt::format("{}://{}/health", scheme, address.ToString());
    const std::string head = AskHttp(url, Packets::kSmall);
    if (head.empty()) continue;
    const bool is_shoal = head.find("\r\nServer: shoal\r\n") != std::string::npos;
    peer.kind = is_shoal ? Peer::Kind::kApi : Peer::Kind::kWeb;
    peer.clock_ahead_s = ClockAhead(head);
    peer.loses_large = AskHttp(url, Packets::kLarge).empty();
    return true;
  }
  return false;
}

// A hub speaks first.
bool LookForHub(const addrinfo& to, Peer& peer) {
  const FileDescriptor socket = Dial(to);
  pollfd waiting = {socket.get(), POLLIN, 0};
  char greeting[kGreetingBytes];
  if (!socket.is_open() || ::poll(&waiting, 1, kAnswerMs) != 1) return false;
  const ssize_t got = ::recv(socket.get(), greeting, sizeof greeting, MSG_WAITALL);
  if (got != sizeof greeting || !ParseGreeting({greeting, sizeof greeting}).ok()) return false;
  peer.kind = Peer::Kind::kHub;
  return true;
}

}  // namespace

std::string WhyUnresolved(const std::string& host) {
  AddressList list(nullptr, ::freeaddrinfo);
  return Resolve(host, 0, list);
}

Peer DialPeer(const Address& address) {
  Peer peer;
  peer.address = address.ToString();
  AddressList list(nullptr, ::freeaddrinfo);
  peer.error = Resolve(address.host, address.port, list);
  peer.is_unknown = !peer.error.empty();
  if (peer.is_unknown) return peer;
  MeasureWay(*list, peer);
  if (!peer.error.empty() || LookForMember(address, peer) || LookForHttp(address, peer)) {
    return peer;
  }
  LookForHub(*list, peer);
  return peer;
}

}  // namespace shoal
