// The facts that tools/doctor_judge judges, from this machine and its network. Each probe has a
// deadline of a few seconds.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "net/address.h"
#include "tools/doctor_facts.h"

namespace shoal {

struct DoctorQuestion {
  std::string state_folder;
  std::vector<Address> peers;      // nodes and servers to dial, each HOST:PORT
  std::vector<std::string> disks;  // folders
};

DoctorFacts Probe(const DoctorQuestion& question);

}  // namespace shoal
