#include "base/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/file_descriptor.h"

namespace shoal {

namespace {

Error OsError(const std::string& path, const char* what) {
  const int code = errno;
  const std::string message = path + ": " + what + ": " + std::strerror(code);
  return code == ENOENT || code == ENOTDIR ? NotFound(message) : InvalidArgument(message);
}

FileStamp StampOf(const struct stat& info) {
  return {info.st_dev, info.st_ino, info.st_size,
          info.st_ctim.tv_sec * kNsPerS + info.st_ctim.tv_nsec};
}

}  // namespace

Result<MappedFile> MappedFile::Open(const std::string& path) {
  // Opening a pipe waits for its writer, unless told not to.
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) return OsError(path, "cannot open");
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return OsError(path, "cannot stat");
  if (!S_ISREG(info.st_mode)) return InvalidArgument(path + ": not a regular file");
  if (info.st_size == 0) return InvalidArgument(path + ": the file is empty");
  const auto size = static_cast<size_t>(info.st_size);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) return OsError(path, "cannot map");
  return MappedFile(std::move(file), path, StampOf(info),
                    {static_cast<const std::byte*>(address), size});
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : file_(std::move(other.file_)),
      path_(std::move(other.path_)),
      stamp_(other.stamp_),
      bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    Unmap();
    file_ = std::move(other.file_);
    path_ = std::move(other.path_);
    stamp_ = other.stamp_;
    bytes_ = std::exchange(other.bytes_, {});
  }
  return *this;
}

MappedFile::~MappedFile() { Unmap(); }

bool MappedFile::is_untouched() const {
  struct stat info {};
  return ::fstat(file_.get(), &info) == 0 && StampOf(info) == stamp_;
}

Result<std::string> MappedFile::Read(std::span<const std::byte> part) const {
  const auto begin = static_cast<size_t>(part.data() - bytes_.data());
  CHECK(begin <= bytes_.size() && part.size() <= bytes_.size() - begin, "a part of the file");
  std::string copy(part.size(), '\0');
  for (size_t done = 0; done < copy.size();) {
    const ssize_t got = ::pread(file_.get(), copy.data() + done, copy.size() - done,
                                static_cast<off_t>(begin + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return OsError(path_, "cannot read");
    if (got == 0) {
      return DataLoss(fmt::format("{}: it was cut short, it had {} bytes when it was opened", path_,
                                  bytes_.size()));
    }
    done += static_cast<size_t>(got);
  }
  return copy;
}

void MappedFile::Unmap() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  bytes_ = {};
}

namespace {

// Maps the file at `path`, which has to have `bytes`, over the reserved memory at `address`.
Status MapAt(const std::string& path, size_t bytes, void* address) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) return OsError(path, "cannot open");
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return OsError(path, "cannot stat");
  if (!S_ISREG(info.st_mode) || info.st_size != static_cast<off_t>(bytes)) {
    return DataLoss(
        fmt::format("{}: expected a file of {} bytes, it has {}", path, bytes, info.st_size));
  }
  if (::mmap(address, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, file.get(), 0) == MAP_FAILED) {
    return OsError(path, "cannot map");
  }
  return OkStatus();
}

}  // namespace

Result<MappedSequence> MappedSequence::Open(std::span<const std::string> paths, int64_t piece_bytes,
                                            int64_t bytes) {
  const auto piece = static_cast<size_t>(piece_bytes);
  const auto size = static_cast<size_t>(bytes);
  CHECK(size > 0 && paths.size() == (size + piece - 1) / piece, "as many files as pieces");
  void* start =
      ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) return OsError(paths[0], "no address space");
  auto* address = static_cast<std::byte*>(start);
  MappedSequence sequence({address, size});
  for (size_t i = 0; i < paths.size(); ++i) {
    RETURN_IF_ERROR(MapAt(paths[i], std::min(piece, size - i * piece), address + i * piece));
  }
  return sequence;
}

MappedSequence::MappedSequence(MappedSequence&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})) {}

MappedSequence& MappedSequence::operator=(MappedSequence&& other) noexcept {
  if (this != &other) {
    Unmap();
    bytes_ = std::exchange(other.bytes_, {});
  }
  return *this;
}

MappedSequence::~MappedSequence() { Unmap(); }

void MappedSequence::Unmap() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  bytes_ = {};
}

void ReleasePages(std::span<const std::byte> part) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<uintptr_t>(part.data()) + page - 1) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(part.data() + part.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace shoal
