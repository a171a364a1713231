#include "tools/doctor_probe.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/file_descriptor.h"
#include "base/wall_clock.h"
#include "kernels/isa.h"
#include "net/discovery.h"
#include "net/host_addresses.h"
#include "node/control_group.h"
#include "node/profiler.h"
#include "tools/doctor_dial.h"
#include "tools/doctor_firewall.h"
#include "tools/doctor_membership.h"
#include "tools/host_name.h"

namespace shoal {

namespace {

constexpr int kSeekMs = 2000;
constexpr int kPorts[] = {7700, 7701, 8080};

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
  facts.now_unix_s = UnixNowS();
  ProbeMembership(question.state_folder, facts);
  for (const HostAddress& one : HostAddresses()) facts.addresses.push_back(one.host);
  for (const int port : kPorts) facts.ports.push_back({port, TryListen(port)});
  facts.multicast_error = TryMulticast();
  const Firewalls firewalls = FindFirewalls();
  facts.firewalls = firewalls.on;
  facts.firewall_unread = firewalls.unread;
  timex clock = {};
  facts.clock_synchronized = ::adjtimex(&clock) >= 0 && (clock.status & STA_UNSYNC) == 0;
  for (const Address& address : question.peers) facts.peers.push_back(DialPeer(address));
  facts.free_memory_bytes = AvailableMemoryBytes();
  facts.total_memory_bytes = TotalMemoryBytes();
  const GroupLimits group = ReadGroupLimits("");
  facts.memory_limit_bytes = group.memory_bytes;
  for (const std::string& folder : question.disks) facts.disks.push_back(LookAtDisk(folder));
  facts.host_name = HostName();
  facts.host_name_error = WhyUnresolved(facts.host_name);
  const Result<kernels::Isa> isa = kernels::ChooseIsa("");
  facts.isa = isa.ok() ? std::string(kernels::IsaName(*isa)) : isa.error().message;
  facts.isa_is_slow = isa.ok() && *isa == kernels::Isa::kReference;
  facts.cpus = static_cast<int>(std::thread::hardware_concurrency());
  facts.cpu_quota = group.cpus;
  return facts;
}

}  // namespace shoal
