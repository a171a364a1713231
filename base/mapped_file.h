// A read-only memory map of a whole file.
//
// The file must not be cut short while it is mapped: reading past its new end raises SIGBUS, which
// is why model files are only ever replaced by rename.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace shoal {

// Which file it is and when it was last changed: two equal stamps mean the same bytes.
struct FileStamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t bytes = 0;
  int64_t changed_ns = 0;  // status change time: set by the system, never by a user
};

class MappedFile {
 public:
  // Errors: no such file, not a regular file, empty, cannot be mapped; each names the path.
  static Result<MappedFile> Open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }
  const FileStamp& stamp() const { return stamp_; }  // as it was when it was opened

  // Lets the kernel drop the resident pages that lie wholly in `part` (a part of bytes()); they are
  // read again from the file when touched. A hint: nothing fails.
  void Release(std::span<const std::byte> part) const;

 private:
  MappedFile(std::string path, const FileStamp& stamp, std::span<const std::byte> bytes)
      : path_(std::move(path)), stamp_(stamp), bytes_(bytes) {}
  void Unmap();

  std::string path_;
  FileStamp stamp_;
  std::span<const std::byte> bytes_;
};

}  // namespace shoal
