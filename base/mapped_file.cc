#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

namespace shoal {

namespace {

Error OsError(const std::string& path, const char* what) {
  const int code = errno;
  const std::string message = path + ": " + what + ": " + std::strerror(code);
  return code == ENOENT || code == ENOTDIR ? NotFound(message) : InvalidArgument(message);
}

FileStamp StampOf(const struct stat& info) {
  constexpr int64_t kNsPerS = 1'000'000'000;
  return {info.st_dev, info.st_ino, info.st_size,
          info.st_ctim.tv_sec * kNsPerS + info.st_ctim.tv_nsec};
}

}  // namespace

Result<MappedFile> MappedFile::Open(const std::string& path) {
  // Opening a pipe waits for its writer, unless told not to.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return OsError(path, "cannot open");
  struct stat info {};
  if (::fstat(fd, &info) != 0) {
    Error error = OsError(path, "cannot stat");
    ::close(fd);
    return error;
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(fd);
    return InvalidArgument(path + ": not a regular file");
  }
  if (info.st_size == 0) {
    ::close(fd);
    return InvalidArgument(path + ": the file is empty");
  }
  const auto size = static_cast<size_t>(info.st_size);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  Error error = address == MAP_FAILED ? OsError(path, "cannot map") : Error{};
  ::close(fd);
  if (address == MAP_FAILED) return error;
  return MappedFile(path, StampOf(info), {static_cast<const std::byte*>(address), size});
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      stamp_(other.stamp_),
      bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    Unmap();
    path_ = std::move(other.path_);
    stamp_ = other.stamp_;
    bytes_ = std::exchange(other.bytes_, {});
  }
  return *this;
}

MappedFile::~MappedFile() { Unmap(); }

void MappedFile::Release(std::span<const std::byte> part) const {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<uintptr_t>(part.data()) + page - 1) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(part.data() + part.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

void MappedFile::Unmap() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  bytes_ = {};
}

}  // namespace shoal
