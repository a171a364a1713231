// Where Shoal keeps what it cannot make again: identities, members, keys, the last plan.
#pragma once

#include <string>

#include "base/result.h"

namespace shoal {

// Help text of the option that names the folder.
constexpr const char* kStateHelp =
    "Folder for identity and members (default: SHOAL_STATE, else ~/.local/state/shoal)";

// `chosen` (the option --state), else $SHOAL_STATE, else $XDG_STATE_HOME/shoal, else
// $HOME/.local/state/shoal; made, of mode 0700, if it does not exist. Errors: none of them is an
// absolute path; it cannot be made; it belongs to another user or others may enter it.
Result<std::string> StateFolder(const std::string& chosen);

}  // namespace shoal
