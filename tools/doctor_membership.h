// What the state folder of this device says of it, and whether its coordinator is where a node
// would look for it.
#pragma once

#include <string>

#include "tools/doctor_facts.h"

namespace shoal {

// Sets identities, contact_error, coordinator and coordinators; uses now_unix_s. Blocks for some
// seconds for each address of the coordinator.
void ProbeMembership(const std::string& state_folder, DoctorFacts& facts);

}  // namespace shoal
