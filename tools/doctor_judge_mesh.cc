#include "tools/doctor_judge_mesh.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "net/identity/x509.h"

namespace shoal {

namespace {

using Peer = DoctorFacts::Peer;
using Identity = DoctorFacts::Identity;

constexpr double kSlowRoundTripS = 0.02;  // a token pays it once for every stage
constexpr int kEthernetMtu = 1500;
constexpr int kLeastMtu = 1280;  // of IPv6
// Renewal is due kRenewDays before the end; if it has failed for half of them, somebody should
// know.
constexpr int64_t kLateDays = kRenewDays / 2;

constexpr const char* kJoinAnew =
    "'shoal nodes invite' on the coordinator prints a pairing code: join anew with 'shoal node "
    "--join CODE' here";
constexpr const char* kSetClock =
    "set this device's clock and switch on time synchronization (timedatectl set-ntp true)";

auto Utc(int64_t unix_s) { return fmt::gmtime(static_cast<std::time_t>(unix_s)); }

std::string NotValidYet(int64_t not_before_unix_s, int64_t now_unix_s) {
  return fmt::format(
      "its certificate is not valid before {:%Y-%m-%d %H:%M} UTC, and this device's clock says "
      "{:%Y-%m-%d %H:%M}",
      Utc(not_before_unix_s), Utc(now_unix_s));
}

DoctorFinding JudgeIdentity(const Identity& own, int64_t now_unix_s) {
  const bool is_node = own.self.role == Role::kNode;
  const std::string who(RoleName(own.self.role));
  if (!own.error.empty()) {
    return Problem("identity", fmt::format("{}: {}", who, own.error),
                   is_node ? kJoinAnew
                           : "put the folder back as it was, or remove it and let all nodes join "
                             "anew: an authority cannot be made again");
  }
  if (own.is_revoked) {
    return Problem("identity", who + ": the coordinator has revoked it", kJoinAnew);
  }
  if (now_unix_s < own.not_before_unix_s) {
    return Problem("identity",
                   fmt::format("{}: {}", who, NotValidYet(own.not_before_unix_s, now_unix_s)),
                   is_node ? kSetClock
                           : std::string(kSetClock) +
                                 "; if it is right now, it was wrong when the mesh was made: "
                                 "remove the folder 'coordinator' and let all nodes join anew");
  }
  const int64_t days = (own.not_after_unix_s - now_unix_s) / kSecondsPerDay;
  const std::string says =
      fmt::format("{} of the mesh {}, for {} more days", who, own.self.mesh, days);
  if (days >= kLateDays) return Good("identity", says);
  return Warning("identity", says,
                 is_node ? "a node renews its certificate while its coordinator is there: let both "
                           "run"
                         : "it is renewed whenever the coordinator starts: start 'shoal serve'");
}

bool IsOfThisMesh(const PeerIdentity& peer, const DoctorFacts& facts) {
  const auto is_its = [&](const Identity& own) {
    return own.self.mesh.empty() || own.self.mesh == peer.mesh;
  };
  return facts.identities.empty() ||
         std::any_of(facts.identities.begin(), facts.identities.end(), is_its);
}

std::string WhatIsThere(const Peer& peer) {
  switch (peer.kind) {
    case Peer::Kind::kMember: return fmt::format("a {}", RoleName(peer.member.role));
    case Peer::Kind::kApi: return "an HTTP API of Shoal";
    case Peer::Kind::kWeb: return "an HTTP server";
    case Peer::Kind::kHub: return "a hub for nodes that dial out";
    case Peer::Kind::kSilent: break;
  }
  return "";
}

// A peer that takes no connections, or is not Shoal.
DoctorFinding JudgeStranger(const char* check, const Peer& peer) {
  if (peer.is_unknown) {
    return Problem(check, fmt::format("{}: {}", peer.address, peer.error),
                   "the name does not resolve: see that it is written as the other device has it "
                   "and that DNS works here, or use its IP address");
  }
  if (!peer.error.empty()) {
    return Problem(check, fmt::format("{}: {}", peer.address, peer.error),
                   "see that Shoal runs there, that it listens on an address of the "
                   "network, and that no firewall is between");
  }
  return Problem(check,
                 fmt::format("{}: takes connections, but does not answer as Shoal would ({})",
                             peer.address, peer.why_silent),
                 "see that it is the right port; if it is, start Shoal there anew");
}

// A member whose certificate is of no use to this device, if it is one.
std::optional<DoctorFinding> JudgeMember(const char* check, const Peer& peer,
                                         const DoctorFacts& facts) {
  const int64_t now = facts.now_unix_s;
  if (peer.kind != Peer::Kind::kMember) return std::nullopt;
  if (!IsOfThisMesh(peer.member, facts)) {
    return Problem(check,
                   fmt::format("{}: a {} of another mesh ({})", peer.address,
                               RoleName(peer.member.role), peer.member.mesh),
                   "one of the two is to join the mesh of the other");
  }
  if (now < peer.not_before_unix_s) {
    return Problem(check,
                   fmt::format("{}: {}", peer.address, NotValidYet(peer.not_before_unix_s, now)),
                   kSetClock);
  }
  if (now > peer.not_after_unix_s) {
    return Problem(check,
                   fmt::format("{}: its certificate ran out on {:%Y-%m-%d}, if this device's "
                               "clock is right: it says {:%Y-%m-%d}",
                               peer.address, Utc(peer.not_after_unix_s), Utc(now)),
                   "set the clock that is wrong; if none is, start Shoal there anew");
  }
  return std::nullopt;
}

DoctorFinding JudgeWay(const char* check, const Peer& peer) {
  const std::string says =
      fmt::format("{}: {}, round trip {:.2f} ms{}", peer.address, WhatIsThere(peer),
                  peer.round_trip_s * 1e3, peer.mtu ? fmt::format(", MTU {}", *peer.mtu) : "");
  if (peer.loses_large) {
    return Problem(
        check, says + ", but large packets are lost on the way",
        "something between drops them without a word: lower the MTU of this device's "
        "interface (ip link set DEVICE mtu 1280, or less), or repair the tunnel or router");
  }
  if (peer.mtu && *peer.mtu < kLeastMtu) {
    return Problem(check, says,
                   "large messages will stall: raise the MTU of the network or tunnel");
  }
  if (peer.round_trip_s > kSlowRoundTripS) {
    return Warning(check, says,
                   "each stage there costs every token that much: use a cable, or a device that "
                   "is nearer");
  }
  if (peer.mtu && *peer.mtu < kEthernetMtu) {
    return Warning(check, says,
                   "smaller than Ethernet's 1500: a tunnel is between, which costs speed");
  }
  if (peer.kind == Peer::Kind::kWeb) {
    return Warning(check, says + " that does not say that it is Shoal's",
                   "see that it is the right port, if no proxy is before it");
  }
  return Good(check, says);
}

DoctorFinding JudgePeer(const char* check, const Peer& peer, const DoctorFacts& facts) {
  if (!peer.error.empty() || peer.kind == Peer::Kind::kSilent) return JudgeStranger(check, peer);
  if (std::optional<DoctorFinding> finding = JudgeMember(check, peer, facts)) return *finding;
  return JudgeWay(check, peer);
}

}  // namespace

void JudgeIdentities(const DoctorFacts& facts, DoctorFindings& into) {
  for (const Identity& own : facts.identities) {
    into.push_back(JudgeIdentity(own, facts.now_unix_s));
  }
  if (facts.identities.empty()) into.push_back(Good("identity", "no member of a mesh yet"));
}

// One address that leads to it is enough.
void JudgeCoordinator(const DoctorFacts& facts, DoctorFindings& into) {
  constexpr const char* kCheck = "coordinator";
  if (!facts.contact_error.empty()) {
    into.push_back(Problem(kCheck, facts.contact_error, kJoinAnew));
  }
  DoctorFinding failed = Problem(kCheck, "", "");
  for (const Peer& peer : facts.coordinators) {
    DoctorFinding finding = JudgePeer(kCheck, peer, facts);
    const bool is_it = peer.kind == Peer::Kind::kMember && peer.member == facts.coordinator;
    if (finding.level != DoctorLevel::kProblem && !is_it) {
      finding = Problem(
          kCheck,
          fmt::format("{}: {}, not this node's coordinator", peer.address, WhatIsThere(peer)),
          "see that 'shoal serve' of this node's mesh runs, and listens there");
    }
    if (finding.level != DoctorLevel::kProblem) {
      into.push_back(std::move(finding));
      return;
    }
    failed.says += (failed.says.empty() ? "" : "; ") + finding.says;
    if (failed.advice.empty()) failed.advice = std::move(finding.advice);
  }
  if (!facts.coordinators.empty()) into.push_back(std::move(failed));
}

void JudgePeers(const DoctorFacts& facts, DoctorFindings& into) {
  for (const Peer& peer : facts.peers) into.push_back(JudgePeer("peer", peer, facts));
}

}  // namespace shoal
