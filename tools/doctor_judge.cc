#include "tools/doctor_judge.h"

#include <fmt/format.h>

#include <cstdlib>
#include <optional>

#include "net/identity/x509.h"
#include "tools/doctor_judge_mesh.h"

namespace shoal {

namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kLittleMemoryBytes = 512 * kMiB;
constexpr int64_t kLittleDiskBytes = 2048 * kMiB;
constexpr int64_t kNoDiskBytes = 64 * kMiB;  // not even identities and logs fit
constexpr int64_t kClockNoticeS = 60;        // an odd clock, though certificates bear kClockSkewS

void JudgePorts(const DoctorFacts& facts, DoctorFindings& into) {
  for (const DoctorFacts::Port& port : facts.ports) {
    into.push_back(port.error.empty()
                       ? Good("port", fmt::format("{} is free", port.port))
                       : Warning("port", fmt::format("{}: {}", port.port, port.error),
                                 "if Shoal does not run here already, choose another port with "
                                 "--listen (7700: --mesh-listen)"));
  }
}

void JudgeFirewall(const DoctorFacts& facts, DoctorFindings& into) {
  if (!facts.firewalls.empty()) {
    into.push_back(
        Warning("firewall", fmt::format("switched on: {}", fmt::join(facts.firewalls, ", ")),
                "if it does not do so already, it is to let in from your network: TCP 7700 "
                "(coordinator) and 7701 (node), the port of --hub-listen, TCP 8080 (HTTP API), and "
                "UDP 7700 (discovery)"));
  } else {
    into.push_back(Good("firewall", facts.firewall_unread
                                        ? "none is known to be on; root could read the kernel's "
                                          "rules and see more"
                                        : "none is known to be on"));
  }
}

void JudgeNetwork(const DoctorFacts& facts, DoctorFindings& into) {
  into.push_back(facts.addresses.empty()
                     ? Problem("network", "this device has no address that others could dial",
                               "connect it to the network: plug in a cable or join the Wi-Fi, and "
                               "see that it gets an address (ip address)")
                     : Good("network", fmt::format("{}", fmt::join(facts.addresses, ", "))));
  into.push_back(facts.multicast_error.empty()
                     ? Good("multicast", "a coordinator on this machine is found")
                     : Warning("multicast", facts.multicast_error,
                               "nodes will not find a coordinator by themselves: give them its "
                               "address"));
  JudgeFirewall(facts, into);
  into.push_back(facts.host_name_error.empty()
                     ? Good("names", facts.host_name + " resolves")
                     : Warning("names",
                               fmt::format("{}: {}", facts.host_name, facts.host_name_error),
                               "use IP addresses, or add this name to /etc/hosts"));
}

void JudgeClock(const DoctorFacts& facts, DoctorFindings& into) {
  const char* const advice =
      "certificates are valid for a time: switch on time synchronization "
      "(timedatectl set-ntp true)";
  std::optional<int64_t> furthest_s;
  for (const DoctorFacts::Peer& peer : facts.peers) {
    if (!peer.clock_ahead_s) continue;
    if (!furthest_s || std::llabs(*peer.clock_ahead_s) > std::llabs(*furthest_s)) {
      furthest_s = peer.clock_ahead_s;
    }
  }
  if (furthest_s) {
    const int64_t apart_s = std::llabs(*furthest_s);
    const std::string says =
        fmt::format("the server's clock is {} s {}", apart_s, *furthest_s < 0 ? "behind" : "ahead");
    into.push_back(apart_s > kClockSkewS     ? Problem("clock", says, advice)
                   : apart_s > kClockNoticeS ? Warning("clock", says, advice)
                                             : Good("clock", says));
    return;
  }
  into.push_back(facts.clock_synchronized
                     ? Good("clock", "synchronized")
                     : Warning("clock", "not known to be synchronized", advice));
}

void JudgeDisks(const DoctorFacts& facts, DoctorFindings& into) {
  for (const DoctorFacts::Disk& disk : facts.disks) {
    const std::string free = fmt::format("{}: {} MiB free", disk.folder, disk.free_bytes / kMiB);
    if (!disk.error.empty()) {
      into.push_back(Problem("disk", fmt::format("{}: {}", disk.folder, disk.error),
                             "give this user a folder that it can write"));
    } else if (disk.free_bytes < kNoDiskBytes) {
      into.push_back(
          Problem("disk", free, "Shoal cannot keep what it needs to run: free some space"));
    } else if (disk.free_bytes < kLittleDiskBytes) {
      into.push_back(Warning("disk", free, "models may not fit: free some space"));
    } else {
      into.push_back(Good("disk", free));
    }
  }
}

void JudgeDevice(const DoctorFacts& facts, DoctorFindings& into) {
  int64_t usable = facts.free_memory_bytes;
  if (facts.memory_limit_bytes && (usable < 0 || *facts.memory_limit_bytes < usable)) {
    usable = *facts.memory_limit_bytes;
  }
  const std::string memory =
      usable < 0
          ? "unknown"
          : fmt::format("{} MiB free of {}{}", usable / kMiB, facts.total_memory_bytes / kMiB,
                        facts.memory_limit_bytes ? fmt::format(", the control group allows {}",
                                                               *facts.memory_limit_bytes / kMiB)
                                                 : "");
  into.push_back(usable >= 0 && usable < kLittleMemoryBytes
                     ? Problem("memory", memory, "end other programs, or leave this device out")
                     : Good("memory", memory));
  const std::string cpu = fmt::format(
      "{} processors, kernels for {}{}", facts.cpus, facts.isa,
      facts.cpu_quota > 0 ? fmt::format(", the control group allows {}", facts.cpu_quota) : "");
  into.push_back(facts.isa_is_slow ? Warning("cpu", cpu,
                                             "this processor has none of the instructions that the "
                                             "fast kernels need: it will be many times slower")
                                   : Good("cpu", cpu));
}

}  // namespace

DoctorFindings Judge(const DoctorFacts& facts) {
  DoctorFindings findings;
  JudgeIdentities(facts, findings);
  JudgeCoordinator(facts, findings);
  JudgePorts(facts, findings);
  JudgeNetwork(facts, findings);
  JudgePeers(facts, findings);
  JudgeClock(facts, findings);
  JudgeDisks(facts, findings);
  JudgeDevice(facts, findings);
  return findings;
}

}  // namespace shoal
