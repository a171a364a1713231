#include "base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace shoal {

Result<FileLock> FileLock::Lock(const std::string& path, int operation) {
  FileLock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.fd_ < 0) return FailedPrecondition(path + ": " + std::strerror(errno));
  while (::flock(lock.fd_, operation) != 0) {
    if (errno == EWOULDBLOCK) return Unavailable(path + " is held by another process");
    if (errno != EINTR) return FailedPrecondition(path + ": " + std::strerror(errno));
  }
  return lock;
}

Result<FileLock> FileLock::Wait(const std::string& path) { return Lock(path, LOCK_EX); }

Result<FileLock> FileLock::Try(const std::string& path) { return Lock(path, LOCK_EX | LOCK_NB); }

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace shoal
