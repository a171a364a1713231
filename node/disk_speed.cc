#include "node/disk_speed.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/file_descriptor.h"
#include "model/transformer/aligned_buffer.h"

namespace shoal {

namespace {

constexpr int64_t kBlockBytes = 4 << 20;
constexpr int64_t kMostBytes = 128 << 20;
constexpr int64_t kFolderFileBytes = 32 << 20;
constexpr int64_t kMostNs = kNsPerS / 5;

Error OsError(const std::string& path, const char* what) {
  return Unavailable(fmt::format("{}: {}: {}", path, what, std::strerror(errno)));
}

int OpenUncached(const std::string& path) {
  const int direct = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  if (direct >= 0) return direct;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd >= 0) static_cast<void>(::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
  return fd;
}

Status WriteAll(int fd, const std::string& path, int64_t bytes) {
  ASSIGN_OR_RETURN(const AlignedBuffer block, AlignedBuffer::Make(kBlockBytes));
  for (int64_t written = 0; written < bytes;) {
    const ssize_t count = ::write(fd, block.data(), static_cast<size_t>(kBlockBytes));
    if (count <= 0) return OsError(path, "cannot be written");
    written += count;
  }
  return ::fsync(fd) == 0 ? OkStatus() : Status(OsError(path, "cannot be written"));
}

}  // namespace

Result<double> MeasureDiskBytesPerS(const std::string& path, const Clock& clock) {
  const FileDescriptor file(OpenUncached(path));
  if (!file.is_open()) return OsError(path, "cannot be opened");
  // Direct reads want whole pages.
  std::unique_ptr<std::byte, decltype(&std::free)> block(
      static_cast<std::byte*>(std::aligned_alloc(4096, kBlockBytes)), &std::free);
  if (block == nullptr) return ResourceExhausted("no memory to read into");
  const int64_t start_ns = clock.NowNs();
  int64_t bytes = 0;
  int64_t spent_ns = 0;
  while (bytes < kMostBytes && spent_ns < kMostNs) {
    const ssize_t count = ::read(file.get(), block.get(), static_cast<size_t>(kBlockBytes));
    if (count < 0) return OsError(path, "cannot be read");
    if (count == 0) break;
    bytes += count;
    spent_ns = clock.NowNs() - start_ns;
  }
  if (bytes == 0) return InvalidArgument(path + ": it is empty");
  return static_cast<double>(bytes) * static_cast<double>(kNsPerS) /
         static_cast<double>(std::max<int64_t>(spent_ns, 1));
}

Result<double> MeasureFolderBytesPerS(const std::string& folder, const Clock& clock) {
  std::string path = folder + "/disk-speed-XXXXXX";
  const FileDescriptor file(::mkostemp(path.data(), O_CLOEXEC));
  if (!file.is_open()) return OsError(path, "cannot be made");
  const Status written = WriteAll(file.get(), path, kFolderFileBytes);
  const Result<double> speed =
      written.ok() ? MeasureDiskBytesPerS(path, clock) : Result<double>(written.error());
  ::unlink(path.c_str());
  return speed;
}

}  // namespace shoal
