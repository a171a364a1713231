// Where Shoal keeps what it can make again.
#pragma once

#include <string>

namespace shoal {

// $XDG_CACHE_HOME/shoal, else $HOME/.cache/shoal; empty if neither is an absolute path. It need not
// exist.
std::string CacheFolder();

}  // namespace shoal
