#include "tools/cache_folder.h"

#include "tools/folder_from.h"

namespace shoal {

std::string CacheFolder() {
  const std::string chosen = FolderFrom("XDG_CACHE_HOME", "/shoal");
  return chosen.empty() ? FolderFrom("HOME", "/.cache/shoal") : chosen;
}

}  // namespace shoal
