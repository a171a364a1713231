// A folder below one that an environment variable names, as the XDG base directories are used.
#pragma once

#include <cstdlib>
#include <string>

namespace shoal {

// Empty if `variable` is not set to an absolute path; `below` begins with a slash, or is empty.
inline std::string FolderFrom(const char* variable, const char* below) {
  const char* base = std::getenv(variable);
  return base != nullptr && base[0] == '/' ? std::string(base) + below : std::string();
}

}  // namespace shoal
