// A folder of this process, mode 0700, for Unix sockets: below $XDG_RUNTIME_DIR, else /tmp. Removed
// with this object.
#pragma once

#include <string>
#include <utility>

#include "base/result.h"

namespace shoal {

class RuntimeFolder {
 public:
  static Result<RuntimeFolder> Make();
  ~RuntimeFolder();
  RuntimeFolder(RuntimeFolder&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  RuntimeFolder& operator=(RuntimeFolder&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }

  const std::string& path() const { return path_; }

 private:
  explicit RuntimeFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;  // empty: moved from
};

}  // namespace shoal
