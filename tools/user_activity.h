// Whether somebody uses this device now.
#pragma once

#include <optional>

namespace shoal {

// As systemd's login manager sees it: false once every session is idle, or there is none. None
// where it cannot be asked (no systemd, no system bus). Blocks for a second at most.
std::optional<bool> IsUserActive();

}  // namespace shoal
