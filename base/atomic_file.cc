#include "base/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/file_descriptor.h"

namespace shoal {

namespace {

Error SystemError(const std::string& path, int code) {
  std::string message = fmt::format("{}: {}", path, std::strerror(code));
  if (code == ENOENT || code == ENOTDIR) return NotFound(std::move(message));
  if (code == ENOSPC || code == EDQUOT) return ResourceExhausted(std::move(message));
  return FailedPrecondition(std::move(message));
}

Status WriteAll(int fd, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError(path, errno);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return OkStatus();
}

// The rename itself is on the disk once the folder is.
Status SyncFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const FileDescriptor file(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file.is_open() || ::fsync(file.get()) != 0) return SystemError(folder, errno);
  return OkStatus();
}

Status WriteNewFile(const std::string& path, std::string_view bytes, Durability durability) {
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.is_open()) return SystemError(path, errno);
  RETURN_IF_ERROR(WriteAll(file.get(), path, bytes));
  const bool flushed = durability == Durability::kNotFlushed || ::fsync(file.get()) == 0;
  return flushed ? OkStatus() : Status(SystemError(path, errno));
}

}  // namespace

Status WriteFileAtomically(const std::string& path, std::string_view bytes, Durability durability) {
  const std::string draft = fmt::format("{}.{}.tmp", path, ::gettid());
  Status written = WriteNewFile(draft, bytes, durability);
  if (written.ok() && std::rename(draft.c_str(), path.c_str()) != 0) {
    written = SystemError(path, errno);
  }
  if (!written.ok()) {
    ::unlink(draft.c_str());
    return written;
  }
  return durability == Durability::kFlushed ? SyncFolderOf(path) : OkStatus();
}

Result<std::string> ReadFileUpTo(const std::string& path, int64_t max_bytes) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) return SystemError(path, errno);
  std::string bytes;
  char block[16384];
  while (true) {
    const ssize_t got = ::read(file.get(), block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError(path, errno);
    if (got == 0) return bytes;
    bytes.append(block, static_cast<size_t>(got));
    if (static_cast<int64_t>(bytes.size()) > max_bytes) {
      return InvalidArgument(fmt::format("{} is longer than {} bytes", path, max_bytes));
    }
  }
}

}  // namespace shoal
