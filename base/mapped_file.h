// A read-only memory map of a whole file.
//
// The file must not be cut short while it is mapped: reading past its new end raises SIGBUS, which
// is why model files are only ever replaced by rename. Where others may write to a file all the
// same, Read gets an error instead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace shoal {

// Which file it is and when it was last changed: two equal stamps mean the same bytes.
struct FileStamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t bytes = 0;
  int64_t changed_ns = 0;  // status change time: set by the system, never by a user

  bool operator==(const FileStamp&) const = default;
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
  bool is_untouched() const;                         // since then

  // A copy of `part`, which is part of bytes(), from the file that was opened, whatever has its
  // path now. Errors: kDataLoss if the file ends before; it cannot be read.
  Result<std::string> Read(std::span<const std::byte> part) const;

 private:
  MappedFile(FileDescriptor file, std::string path, const FileStamp& stamp,
             std::span<const std::byte> bytes)
      : file_(std::move(file)), path_(std::move(path)), stamp_(stamp), bytes_(bytes) {}
  void Unmap();

  FileDescriptor file_;
  std::string path_;
  FileStamp stamp_;
  std::span<const std::byte> bytes_;
};

// Several files, mapped one after the other so that they read as one. The same rule holds for
// each: it must not be cut short.
class MappedSequence {
 public:
  // `bytes` in all: every file but the last has `piece_bytes`, a multiple of the page size. Errors:
  // a file that cannot be mapped, or has another size (both named).
  static Result<MappedSequence> Open(std::span<const std::string> paths, int64_t piece_bytes,
                                     int64_t bytes);

  MappedSequence(MappedSequence&& other) noexcept;
  MappedSequence& operator=(MappedSequence&& other) noexcept;
  ~MappedSequence();

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedSequence(std::span<const std::byte> bytes) : bytes_(bytes) {}
  void Unmap();

  std::span<const std::byte> bytes_;
};

// Lets the kernel drop the resident pages that lie wholly in `part`, which is part of a mapped file
// or sequence; they are read again from the file when touched. A hint: nothing fails.
void ReleasePages(std::span<const std::byte> part);

}  // namespace shoal
