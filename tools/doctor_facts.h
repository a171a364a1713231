// What `shoal doctor` found out about this device, its mesh and its network, to be judged. A fact
// that could not be found out is empty, or has its error text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "net/identity/peer_identity.h"

namespace shoal {

struct DoctorFacts {
  std::vector<std::string> addresses;  // IP addresses of this device that others may dial

  struct Port {
    int port = 0;
    std::string error;  // of listening there; empty: it works
  };
  std::vector<Port> ports;

  std::string multicast_error;  // of finding a coordinator made for the purpose; empty: found

  std::vector<std::string> firewalls;  // that are switched on, by name
  bool firewall_unread = false;        // the kernel's rules are not shown to this user

  int64_t now_unix_s = 0;
  bool clock_synchronized = true;  // as the kernel says

  // What the state folder holds of this device: as a node, as a coordinator.
  struct Identity {
    PeerIdentity self;
    std::string error;  // of reading it: damaged, another machine's, ran out; else it is whole
    int64_t not_before_unix_s = 0;  // of its certificate, and of its authority's
    int64_t not_after_unix_s = 0;
    bool is_revoked = false;  // as the coordinator said when this node last heard of it
  };
  std::vector<Identity> identities;

  struct Peer {
    // kSilent: takes connections, and does not answer as Shoal would; kWeb: an HTTP server that
    // does not say that it is Shoal's.
    enum class Kind { kSilent, kMember, kApi, kWeb, kHub };
    std::string address;
    std::string error;        // of the dial; empty: it takes connections
    bool is_unknown = false;  // the error is that its name does not resolve
    Kind kind = Kind::kSilent;
    std::string why_silent;
    PeerIdentity member;            // of kMember, as its certificate says
    int64_t not_before_unix_s = 0;  // of kMember's certificate
    int64_t not_after_unix_s = 0;
    bool loses_large = false;  // it answers what fits in one small packet, and not what is larger
    double round_trip_s = 0;   // median of some dials
    std::optional<int> mtu;    // of the way there, as the kernel knows it
    std::optional<int64_t> clock_ahead_s;  // of kApi and kWeb
  };
  std::vector<Peer> peers;

  std::string contact_error;       // of reading where this node's coordinator is
  PeerIdentity coordinator;        // whom this node expects there; no id: it is no node
  std::vector<Peer> coordinators;  // where it may be, in the order that the node tries

  int64_t free_memory_bytes = -1;
  int64_t total_memory_bytes = -1;
  std::optional<int64_t> memory_limit_bytes;  // of the control group

  struct Disk {
    std::string folder;
    std::string error;  // of using it; empty: it can be written
    int64_t free_bytes = 0;
  };
  std::vector<Disk> disks;

  std::string host_name;
  std::string host_name_error;  // of resolving it; empty: it resolves

  std::string isa;
  bool isa_is_slow = false;  // only the reference kernels run here
  int cpus = 0;
  int cpu_quota = 0;  // processors that the control group grants; 0: all
};

}  // namespace shoal
