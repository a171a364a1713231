// A lock that processes share: held by one of them at a time, and freed by the system when that one
// ends, however it ends.
#pragma once

#include <string>
#include <utility>

#include "base/result.h"

namespace shoal {

class FileLock {
 public:
  // The file is made if there is none, and never removed. Errors: it cannot be opened.
  static Result<FileLock> Wait(const std::string& path);
  // Error (kUnavailable) at once if another one holds it.
  static Result<FileLock> Try(const std::string& path);
  ~FileLock();
  FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileLock& operator=(FileLock&&) = delete;

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  static Result<FileLock> Lock(const std::string& path, int operation);

  int fd_;
};

}  // namespace shoal
