#include "net/discovery.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/file_descriptor.h"
#include "net/discovery_message.h"

namespace shoal {

namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

// Administratively scoped (RFC 2365), and transient of the link (RFC 4291): no router passes them
// on.
constexpr const char* kGroupV4 = "239.255.77.77";
constexpr const char* kGroupV6 = "ff12::7368:6f61:6c";
constexpr int kAskAgainMs = 500;
constexpr std::chrono::seconds kJoinEvery{5};

class UdpSocket {
 public:
  explicit UdpSocket(int family)
      : fd_(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    const int yes = 1;
    if (family == AF_INET6) ::setsockopt(fd(), IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
  }
  int fd() const { return fd_.get(); }

  // Shared with the machine's other coordinators.
  bool Bind(int family, uint16_t port) const {
    const int yes = 1;
    ::setsockopt(fd(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (family == AF_INET) {
      sockaddr_in any = {};
      any.sin_family = AF_INET;
      any.sin_port = htons(port);
      return ::bind(fd(), reinterpret_cast<const sockaddr*>(&any), sizeof(any)) == 0;
    }
    sockaddr_in6 any = {};
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(port);
    return ::bind(fd(), reinterpret_cast<const sockaddr*>(&any), sizeof(any)) == 0;
  }

 private:
  const FileDescriptor fd_;
};

// Indices of the interfaces that are up.
std::set<unsigned> Interfaces() {
  std::set<unsigned> indices;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return indices;
  for (const ifaddrs* it = list; it != nullptr; it = it->ifa_next) {
    if ((it->ifa_flags & IFF_UP) == 0) continue;
    if (const unsigned index = ::if_nametoindex(it->ifa_name); index != 0) indices.insert(index);
  }
  ::freeifaddrs(list);
  return indices;
}

bool Join(const UdpSocket& socket, int family, unsigned interface) {
  if (family == AF_INET) {
    ip_mreqn group = {};
    ::inet_pton(AF_INET, kGroupV4, &group.imr_multiaddr);
    group.imr_ifindex = static_cast<int>(interface);
    return ::setsockopt(socket.fd(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)) == 0;
  }
  ipv6_mreq group = {};
  ::inet_pton(AF_INET6, kGroupV6, &group.ipv6mr_multiaddr);
  group.ipv6mr_interface = interface;
  return ::setsockopt(socket.fd(), IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof(group)) == 0;
}

bool SendToGroup(const UdpSocket& socket, int family, unsigned interface, uint16_t port,
                 const std::string& bytes) {
  if (family == AF_INET) {
    ip_mreqn out = {};
    out.imr_ifindex = static_cast<int>(interface);
    ::setsockopt(socket.fd(), IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof(out));
    sockaddr_in group = {};
    group.sin_family = AF_INET;
    group.sin_port = htons(port);
    ::inet_pton(AF_INET, kGroupV4, &group.sin_addr);
    return ::sendto(socket.fd(), bytes.data(), bytes.size(), 0,
                    reinterpret_cast<const sockaddr*>(&group), sizeof(group)) >= 0;
  }
  sockaddr_in6 group = {};
  group.sin6_family = AF_INET6;
  group.sin6_port = htons(port);
  group.sin6_scope_id = interface;
  ::inet_pton(AF_INET6, kGroupV6, &group.sin6_addr);
  return ::sendto(socket.fd(), bytes.data(), bytes.size(), 0,
                  reinterpret_cast<const sockaddr*>(&group), sizeof(group)) >= 0;
}

struct Datagram {
  std::string bytes;
  sockaddr_storage from = {};
  socklen_t from_size = sizeof(sockaddr_storage);
};

std::optional<Datagram> Receive(int fd) {
  Datagram datagram;
  char buffer[kMaxDiscoveryBytes + 1];  // one more, so that what is too long is seen to be
  const ssize_t got = ::recvfrom(fd, buffer, sizeof(buffer), 0,
                                 reinterpret_cast<sockaddr*>(&datagram.from), &datagram.from_size);
  if (got < 0) return std::nullopt;
  datagram.bytes.assign(buffer, static_cast<size_t>(got));
  return datagram;
}

// The sender's address with another port; of an IPv6 address of the link, with its interface.
Address AddressOf(const sockaddr_storage& from, uint16_t port) {
  char text[INET6_ADDRSTRLEN] = {};
  Address address;
  address.port = port;
  if (from.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(from);
    address.host = ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text));
    return address;
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(from);
  address.host = ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text));
  if (v6.sin6_scope_id != 0) address.host += fmt::format("%{}", v6.sin6_scope_id);
  return address;
}

}  // namespace

class DiscoveryResponder::Impl {
 public:
  Impl(std::string mesh_id, uint16_t service_port)
      : mesh_id_(std::move(mesh_id)), answer_(EncodeDiscovery({mesh_id_, service_port})) {}
  ~Impl() {
    if (thread_.joinable()) {
      const uint64_t one = 1;
      CHECK(::write(stop_.get(), &one, sizeof(one)) == sizeof(one), "an eventfd takes one");
      thread_.join();
    }
  }

  Status Open(uint16_t port) {
    int why = 0;
    for (const auto& [family, socket] : {std::pair{AF_INET, &v4_}, {AF_INET6, &v6_}}) {
      if (socket->Bind(family, port)) {
        bound_.emplace_back(family, socket);
      } else {
        why = errno;
      }
    }
    if (JoinAll(why) == 0) {
      return Unavailable(fmt::format("UDP port {}: no multicast on any interface: {}", port,
                                     why == 0 ? "none is up" : std::strerror(why)));
    }
    thread_ = std::thread([this] { ThreadMain(); });
    return OkStatus();
  }

 private:
  // On how many interfaces it listens; `why` not on more.
  int JoinAll(int& why) const {
    int joined = 0;
    for (const auto& [family, socket] : bound_) {
      for (const unsigned interface : Interfaces()) {
        if (Join(*socket, family, interface) || errno == EADDRINUSE) {  // has been joined before
          ++joined;
        } else {
          why = errno;
        }
      }
    }
    return joined;
  }

  void ThreadMain() {
    pollfd entries[3] = {{stop_.get(), POLLIN, 0}, {v4_.fd(), POLLIN, 0}, {v6_.fd(), POLLIN, 0}};
    SteadyTime join_next = std::chrono::steady_clock::now() + kJoinEvery;
    while (::poll(entries, 3, std::chrono::milliseconds(kJoinEvery).count()) >= 0 ||
           errno == EINTR) {
      if ((entries[0].revents & POLLIN) != 0) return;
      for (const pollfd& entry : {entries[1], entries[2]}) {
        if ((entry.revents & POLLIN) != 0) AnswerOne(entry.fd);
      }
      if (const SteadyTime now = std::chrono::steady_clock::now(); now >= join_next) {
        int why = 0;
        JoinAll(why);
        join_next = now + kJoinEvery;
      }
    }
  }

  void AnswerOne(int fd) {
    const std::optional<Datagram> asked = Receive(fd);
    const std::optional<DiscoveryMessage> question =
        asked ? ParseDiscovery(asked->bytes) : std::nullopt;
    if (!question || question->port != 0) return;
    if (!question->mesh_id.empty() && question->mesh_id != mesh_id_) return;
    if (!MayAnswer(AddressOf(asked->from, 0).host)) return;
    ::sendto(fd, answer_.data(), answer_.size(), 0, reinterpret_cast<const sockaddr*>(&asked->from),
             asked->from_size);
  }

  bool MayAnswer(const std::string& source) {
    const SteadyTime now = std::chrono::steady_clock::now();
    if (now - second_began_ >= std::chrono::seconds(1)) {
      second_began_ = now;
      answers_.clear();
      answered_ = 0;
    }
    if (answered_ >= kAnswersPerS) return false;
    if (++answers_[source] > kAnswersPerSourceS) return false;
    ++answered_;
    return true;
  }

  const std::string mesh_id_;
  const std::string answer_;
  const UdpSocket v4_{AF_INET};
  const UdpSocket v6_{AF_INET6};
  const FileDescriptor stop_{::eventfd(0, EFD_CLOEXEC)};
  SteadyTime second_began_{};
  int answered_ = 0;                    // in this second
  std::map<std::string, int> answers_;  // of which to each address; at most kAnswersPerS of them
  std::vector<std::pair<int, const UdpSocket*>> bound_;  // with their families
  std::thread thread_;
};

Result<std::unique_ptr<DiscoveryResponder>> DiscoveryResponder::Start(const std::string& mesh_id,
                                                                      uint16_t service_port,
                                                                      uint16_t discovery_port) {
  CHECK(IsMeshId(mesh_id) && service_port > 0, "a mesh id and a port");
  auto impl = std::make_unique<Impl>(mesh_id, service_port);
  RETURN_IF_ERROR(impl->Open(discovery_port));
  return std::unique_ptr<DiscoveryResponder>(new DiscoveryResponder(std::move(impl)));
}

DiscoveryResponder::DiscoveryResponder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DiscoveryResponder::~DiscoveryResponder() = default;

namespace {

// Adds who answers; no more than kMostCoordinators, each once.
void Note(const Datagram& datagram, const std::string& mesh_id,
          std::vector<FoundCoordinator>& found) {
  const std::optional<DiscoveryMessage> answer = ParseDiscovery(datagram.bytes);
  if (!answer || answer->port == 0 || found.size() >= kMostCoordinators) return;
  if (!mesh_id.empty() && answer->mesh_id != mesh_id) return;
  FoundCoordinator coordinator = {answer->mesh_id, AddressOf(datagram.from, answer->port)};
  const std::string text = coordinator.address.ToString();
  const bool known = std::any_of(found.begin(), found.end(), [&](const FoundCoordinator& other) {
    return other.mesh_id == coordinator.mesh_id && other.address.ToString() == text;
  });
  if (!known) found.push_back(std::move(coordinator));
}

}  // namespace

Result<std::vector<FoundCoordinator>> SeekCoordinators(const std::string& mesh_id, int timeout_ms,
                                                       bool first_only, uint16_t discovery_port) {
  using std::chrono::milliseconds;
  const UdpSocket v4(AF_INET), v6(AF_INET6);
  const std::string question = EncodeDiscovery({mesh_id, 0});
  std::vector<FoundCoordinator> found;
  SteadyTime now = std::chrono::steady_clock::now();
  const SteadyTime end = now + milliseconds(timeout_ms);
  SteadyTime ask_next = now;
  for (; now < end && (found.empty() || !first_only); now = std::chrono::steady_clock::now()) {
    if (now >= ask_next) {
      int sent = 0;
      const std::set<unsigned> interfaces = Interfaces();
      for (const unsigned interface : interfaces) {
        sent += SendToGroup(v4, AF_INET, interface, discovery_port, question) ? 1 : 0;
        sent += SendToGroup(v6, AF_INET6, interface, discovery_port, question) ? 1 : 0;
      }
      if (sent == 0) {
        return Unavailable(fmt::format("no network takes multicast: {}",
                                       interfaces.empty() ? "none is up" : std::strerror(errno)));
      }
      ask_next = now + milliseconds(kAskAgainMs);
    }
    pollfd entries[2] = {{v4.fd(), POLLIN, 0}, {v6.fd(), POLLIN, 0}};
    const auto wait = std::chrono::ceil<milliseconds>(std::min(end, ask_next) - now).count();
    if (::poll(entries, 2, static_cast<int>(wait)) <= 0) continue;
    for (const pollfd& entry : entries) {
      if ((entry.revents & POLLIN) == 0) continue;
      if (const std::optional<Datagram> datagram = Receive(entry.fd))
        Note(*datagram, mesh_id, found);
    }
  }
  std::stable_partition(found.begin(), found.end(), [](const FoundCoordinator& one) {
    return one.address.host.find('%') == std::string::npos;
  });
  return found;
}

}  // namespace shoal
