// What goes wrong in practice, judged from facts: what each means and what to do about it. Pure;
// tools/doctor_probe finds the facts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace shoal {

// A fact that could not be found out is empty, or has its error text.
struct DoctorFacts {
  struct Port {
    int port = 0;
    std::string error;  // of listening there; empty: it works
  };
  std::vector<Port> ports;

  std::string multicast_error;  // of finding a coordinator made for the purpose; empty: found

  std::vector<std::string> firewalls;  // that are switched on, by name

  bool clock_synchronized = true;  // as the kernel says
  std::optional<int64_t> server_clock_ahead_s;

  struct Peer {
    std::string address;
    std::string error;        // of the dial; empty: it answers
    double round_trip_s = 0;  // median of some dials
    std::optional<int> mtu;   // of the way there
  };
  std::vector<Peer> peers;

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

enum class DoctorLevel { kGood, kWarning, kProblem };

struct DoctorFinding {
  std::string check;
  DoctorLevel level = DoctorLevel::kGood;
  std::string says;
  std::string advice;  // empty where all is well
};

std::vector<DoctorFinding> Judge(const DoctorFacts& facts);

}  // namespace shoal
