// A lock that processes share: held by one of them at a time, and freed by the system when that one
// ends, however it ends.
#pragma once

#include <string>
#include <utility>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace shoal {

class FileLock {
 public:
  // The file is made if there is none, and never removed. Errors: it cannot be opened.
  static Result<FileLock> Wait(const std::string& path);
  // Error (kUnavailable) at once if another one holds it.
  static Result<FileLock> Try(const std::string& path);

 private:
  explicit FileLock(FileDescriptor file) : file_(std::move(file)) {}
  static Result<FileLock> Lock(const std::string& path, int operation);

  FileDescriptor file_;
};

}  // namespace shoal
