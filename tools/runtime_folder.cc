#include "tools/runtime_folder.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace shoal {

Result<RuntimeFolder> RuntimeFolder::Make() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  std::error_code ignored;
  const bool usable = runtime != nullptr && std::filesystem::is_directory(runtime, ignored) &&
                      ::access(runtime, W_OK) == 0;
  std::string path = std::string(usable ? runtime : "/tmp") + "/shoal-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) {
    return Unavailable("cannot make the folder " + path + ": " + std::strerror(errno));
  }
  return RuntimeFolder(std::move(path));
}

RuntimeFolder::~RuntimeFolder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace shoal
