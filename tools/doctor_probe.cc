#include "tools/doctor_probe.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>

#include "base/file_descriptor.h"
#include "kernels/isa.h"
#include "net/discovery.h"
#include "node/control_group.h"
#include "node/profiler.h"
#include "tools/host_name.h"

namespace shoal {

namespace {

constexpr int kDials = 5;
constexpr int kDialMs = 2000;
constexpr int kSeekMs = 2000;
constexpr int kPorts[] = {7701, 8080};

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

std::string ErrnoText() { return std::strerror(errno); }

std::string TryListen(int port) {
  const FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return ErrnoText();
  const int yes = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  sockaddr_in any = {};
  any.sin_family = AF_INET;
  any.sin_port = htons(static_cast<uint16_t>(port));
  const bool listens = ::bind(socket.get(), reinterpret_cast<sockaddr*>(&any), sizeof(any)) == 0 &&
                       ::listen(socket.get(), 1) == 0;
  return listens ? "" : ErrnoText();
}

// A coordinator of a mesh of its own, and the search for it.
std::string TryMulticast() {
  const std::string mesh_id =
      fmt::format("{:016x}", std::chrono::steady_clock::now().time_since_epoch().count());
  const auto responder = DiscoveryResponder::Start(mesh_id, 1);
  if (!responder.ok()) return responder.error().message;
  const auto found = SeekCoordinators(mesh_id, kSeekMs, true);
  if (!found.ok()) return found.error().message;
  return found->empty() ? "no answer came: the system or a firewall drops it" : "";
}

std::vector<std::string> Firewalls() {
  std::vector<std::string> names;
  std::ifstream ufw("/etc/ufw/ufw.conf");
  for (std::string line; std::getline(ufw, line);) {
    if (line == "ENABLED=yes") names.emplace_back("ufw");
  }
  std::error_code ignored;
  if (std::filesystem::exists("/run/firewalld", ignored)) names.emplace_back("firewalld");
  return names;
}

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

DoctorFacts::Peer DialPeer(const Address& address) {
  DoctorFacts::Peer peer;
  peer.address = address.ToString();
  AddressList list(nullptr, ::freeaddrinfo);
  peer.error = Resolve(address.host, address.port, list);
  std::vector<double> seconds;
  while (peer.error.empty() && seconds.size() < kDials) {
    const auto began = std::chrono::steady_clock::now();
    const FileDescriptor socket = Dial(*list);
    if (!socket.is_open()) {
      peer.error = ErrnoText();
      return peer;
    }
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
    peer.mtu = MtuOf(socket.get(), list->ai_family);
  }
  if (seconds.empty()) return peer;
  std::nth_element(seconds.begin(), seconds.begin() + kDials / 2, seconds.end());
  peer.round_trip_s = seconds[kDials / 2];
  return peer;
}

// The Date header of a plain HTTP server's reply, as seconds ahead of this machine.
std::optional<int64_t> ServerClockAhead(const Address& address) {
  AddressList list(nullptr, ::freeaddrinfo);
  if (!Resolve(address.host, address.port, list).empty()) return std::nullopt;
  const FileDescriptor socket = Dial(*list);
  if (!socket.is_open()) return std::nullopt;
  const std::string ask =
      fmt::format("HEAD /health HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", address.host);
  std::string reply;
  char block[2048];
  constexpr size_t kMostBytes = 16 << 10;
  pollfd waiting = {socket.get(), POLLIN, 0};
  if (::send(socket.get(), ask.data(), ask.size(), MSG_NOSIGNAL) ==
      static_cast<ssize_t>(ask.size())) {
    while (reply.size() < kMostBytes && reply.find("\r\n\r\n") == std::string::npos &&
           ::poll(&waiting, 1, kDialMs) == 1) {
      const ssize_t got = ::recv(socket.get(), block, sizeof(block), 0);
      if (got <= 0) break;
      reply.append(block, static_cast<size_t>(got));
    }
  }
  const size_t at = reply.find("\r\nDate: ");
  std::tm date = {};
  if (at == std::string::npos ||
      ::strptime(reply.c_str() + at + 8, "%a, %d %b %Y %H:%M:%S GMT", &date) == nullptr) {
    return std::nullopt;
  }
  return static_cast<int64_t>(::timegm(&date)) - static_cast<int64_t>(std::time(nullptr));
}

DoctorFacts::Disk LookAtDisk(const std::string& folder) {
  DoctorFacts::Disk disk;
  disk.folder = folder;
  // What does not exist yet is made below the nearest folder that does.
  std::filesystem::path place = folder;
  std::error_code ignored;
  while (!std::filesystem::exists(place, ignored) && place.has_relative_path()) {
    place = place.parent_path();
  }
  struct statvfs found = {};
  if (::statvfs(place.c_str(), &found) != 0 || ::access(place.c_str(), W_OK) != 0) {
    disk.error = ErrnoText();
    return disk;
  }
  disk.free_bytes = static_cast<int64_t>(found.f_bavail) * static_cast<int64_t>(found.f_frsize);
  return disk;
}

}  // namespace

DoctorFacts Probe(const DoctorQuestion& question) {
  DoctorFacts facts;
  for (const int port : kPorts) facts.ports.push_back({port, TryListen(port)});
  facts.multicast_error = TryMulticast();
  facts.firewalls = Firewalls();
  timex clock = {};
  facts.clock_synchronized = ::adjtimex(&clock) >= 0 && (clock.status & STA_UNSYNC) == 0;
  for (const Address& address : question.servers) {
    if (const auto ahead = ServerClockAhead(address)) facts.server_clock_ahead_s = ahead;
  }
  for (const Address& address : question.peers) facts.peers.push_back(DialPeer(address));
  facts.free_memory_bytes = AvailableMemoryBytes();
  facts.total_memory_bytes = TotalMemoryBytes();
  const GroupLimits group = ReadGroupLimits("");
  facts.memory_limit_bytes = group.memory_bytes;
  for (const std::string& folder : question.disks) facts.disks.push_back(LookAtDisk(folder));
  facts.host_name = HostName();
  AddressList list(nullptr, ::freeaddrinfo);
  facts.host_name_error = Resolve(facts.host_name, 0, list);
  const Result<kernels::Isa> isa = kernels::ChooseIsa("");
  facts.isa = isa.ok() ? std::string(kernels::IsaName(*isa)) : isa.error().message;
  facts.isa_is_slow = isa.ok() && *isa == kernels::Isa::kReference;
  facts.cpus = static_cast<int>(std::thread::hardware_concurrency());
  facts.cpu_quota = group.cpus;
  return facts;
}

}  // namespace shoal
