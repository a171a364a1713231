#include "tools/cache_folder.h"

#include <cstdlib>

namespace shoal {

std::string CacheFolder() {
  const auto folder = [](const char* variable, const char* below) {
    const char* base = std::getenv(variable);
    return base != nullptr && base[0] == '/' ? std::string(base) + below : std::string();
  };
  const std::string chosen = folder("XDG_CACHE_HOME", "/shoal");
  return chosen.empty() ? folder("HOME", "/.cache/shoal") : chosen;
}

}  // namespace shoal
