// As the system calls this machine.
#pragma once

#include <string>

namespace shoal {

// Empty if it has no name.
std::string HostName();

}  // namespace shoal
