#include "tools/doctor_judge.h"

#include <fmt/format.h>

#include <cstdlib>

namespace shoal {

namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kLittleMemoryBytes = 512 * kMiB;
constexpr int64_t kLittleDiskBytes = 2048 * kMiB;
constexpr int64_t kClockSkewS = 60;  // a fresh certificate is dated an hour back
constexpr int64_t kFatalClockSkewS = 3600;
constexpr double kSlowRoundTripS = 0.02;  // a token pays it once for every stage
constexpr int kEthernetMtu = 1500;
constexpr int kLeastMtu = 1280;  // of IPv6

using Findings = std::vector<DoctorFinding>;

DoctorFinding Good(std::string check, std::string says) {
  return {std::move(check), DoctorLevel::kGood, std::move(says), ""};
}
DoctorFinding Warning(std::string check, std::string says, std::string advice) {
  return {std::move(check), DoctorLevel::kWarning, std::move(says), std::move(advice)};
}
DoctorFinding Problem(std::string check, std::string says, std::string advice) {
  return {std::move(check), DoctorLevel::kProblem, std::move(says), std::move(advice)};
}

void JudgePorts(const DoctorFacts& facts, Findings& into) {
  for (const DoctorFacts::Port& port : facts.ports) {
    into.push_back(port.error.empty()
                       ? Good("port", fmt::format("{} is free", port.port))
                       : Warning("port", fmt::format("{}: {}", port.port, port.error),
                                 "if Shoal does not run here already, choose another port with "
                                 "--listen"));
  }
}

void JudgeNetwork(const DoctorFacts& facts, Findings& into) {
  into.push_back(facts.multicast_error.empty()
                     ? Good("multicast", "a coordinator on this machine is found")
                     : Warning("multicast", facts.multicast_error,
                               "nodes will not find a coordinator by themselves: give them its "
                               "address"));
  for (const std::string& name : facts.firewalls) {
    into.push_back(Warning("firewall", name + " is switched on",
                           "allow TCP 7701 (node), TCP 8080 (server) and UDP 7700 (discovery) "
                           "from your network"));
  }
  if (facts.firewalls.empty()) into.push_back(Good("firewall", "none is known to be on"));
  into.push_back(facts.host_name_error.empty()
                     ? Good("names", facts.host_name + " resolves")
                     : Warning("names",
                               fmt::format("{}: {}", facts.host_name, facts.host_name_error),
                               "use IP addresses, or add this name to /etc/hosts"));
}

void JudgePeers(const DoctorFacts& facts, Findings& into) {
  for (const DoctorFacts::Peer& peer : facts.peers) {
    if (!peer.error.empty()) {
      into.push_back(Problem("peer", fmt::format("{}: {}", peer.address, peer.error),
                             "see that Shoal runs there, that it listens on an address of the "
                             "network, and that no firewall is between"));
      continue;
    }
    const std::string says =
        fmt::format("{}: round trip {:.2f} ms{}", peer.address, peer.round_trip_s * 1e3,
                    peer.mtu ? fmt::format(", MTU {}", *peer.mtu) : "");
    if (peer.round_trip_s > kSlowRoundTripS) {
      into.push_back(Warning("peer", says,
                             "each stage there costs every token that much: use a "
                             "cable, or a device that is nearer"));
    } else if (peer.mtu && *peer.mtu < kLeastMtu) {
      into.push_back(Problem("peer", says,
                             "large messages will stall: raise the MTU of the "
                             "network or tunnel"));
    } else if (peer.mtu && *peer.mtu < kEthernetMtu) {
      into.push_back(Warning("peer", says,
                             "smaller than Ethernet's 1500: a tunnel is between, "
                             "which costs speed"));
    } else {
      into.push_back(Good("peer", says));
    }
  }
}

void JudgeClock(const DoctorFacts& facts, Findings& into) {
  const char* const advice =
      "certificates are valid for a time: switch on time synchronization "
      "(timedatectl set-ntp true)";
  if (facts.server_clock_ahead_s) {
    const int64_t ahead_s = *facts.server_clock_ahead_s;
    const std::string says = fmt::format("the server's clock is {} s {}", std::llabs(ahead_s),
                                         ahead_s < 0 ? "behind" : "ahead");
    if (std::llabs(ahead_s) > kFatalClockSkewS) {
      into.push_back(Problem("clock", says, advice));
    } else if (std::llabs(ahead_s) > kClockSkewS) {
      into.push_back(Warning("clock", says, advice));
    } else {
      into.push_back(Good("clock", says));
    }
    return;
  }
  into.push_back(facts.clock_synchronized
                     ? Good("clock", "synchronized")
                     : Warning("clock", "not known to be synchronized", advice));
}

void JudgeDevice(const DoctorFacts& facts, Findings& into) {
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
  for (const DoctorFacts::Disk& disk : facts.disks) {
    const std::string free = fmt::format("{}: {} MiB free", disk.folder, disk.free_bytes / kMiB);
    if (!disk.error.empty()) {
      into.push_back(Problem("disk", fmt::format("{}: {}", disk.folder, disk.error),
                             "give this user a folder that it can write"));
    } else if (disk.free_bytes < kLittleDiskBytes) {
      into.push_back(Warning("disk", free, "models may not fit: free some space"));
    } else {
      into.push_back(Good("disk", free));
    }
  }
  const std::string cpu = fmt::format(
      "{} processors, kernels for {}{}", facts.cpus, facts.isa,
      facts.cpu_quota > 0 ? fmt::format(", the control group allows {}", facts.cpu_quota) : "");
  into.push_back(facts.isa_is_slow ? Warning("cpu", cpu,
                                             "this processor has none of the instructions that the "
                                             "fast kernels need: it will be many times slower")
                                   : Good("cpu", cpu));
}

}  // namespace

Findings Judge(const DoctorFacts& facts) {
  Findings findings;
  JudgePorts(facts, findings);
  JudgeNetwork(facts, findings);
  JudgePeers(facts, findings);
  JudgeClock(facts, findings);
  JudgeDevice(facts, findings);
  return findings;
}

}  // namespace shoal
