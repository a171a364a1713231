// A read-only memory map of a whole file.
//
// The file must not be cut short while it is mapped: reading past its new end raises SIGBUS, which
// is why model files are only ever replaced by rename.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/result.h"

namespace shoal {

class MappedFile {
 public:
  // Errors: no such file, not a regular file, empty, cannot be mapped; each names the path.
  static Result<MappedFile> Open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

  // Lets the kernel drop the resident pages that lie wholly in `part` (a part of bytes()); they are
  // read again from the file when touched. A hint: nothing fails.
  void Release(std::span<const std::byte> part) const;

 private:
  MappedFile(std::string path, std::span<const std::byte> bytes)
      : path_(std::move(path)), bytes_(bytes) {}
  void Unmap();

  std::string path_;
  std::span<const std::byte> bytes_;
};

}  // namespace shoal
