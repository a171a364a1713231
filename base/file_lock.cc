#include "base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <cstring>

namespace shoal {

Result<FileLock> FileLock::Lock(const std::string& path, int operation) {
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file.is_open()) return FailedPrecondition(path + ": " + std::strerror(errno));
  while (::flock(file.get(), operation) != 0) {
    if (errno == EWOULDBLOCK) return Unavailable(path + " is held by another process");
    if (errno != EINTR) return FailedPrecondition(path + ": " + std::strerror(errno));
  }
  return FileLock(std::move(file));
}

Result<FileLock> FileLock::Wait(const std::string& path) { return Lock(path, LOCK_EX); }

Result<FileLock> FileLock::Try(const std::string& path) { return Lock(path, LOCK_EX | LOCK_NB); }

}  // namespace shoal
