// An open file, socket or pipe of the system's, closed when its holder goes.
#pragma once

#include <unistd.h>

#include <utility>

namespace shoal {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  // Holds nothing where `fd` is negative, which is what a failed call of the system gives.
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() { Close(); }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      Close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }

  bool is_open() const { return fd_ >= 0; }
  int get() const { return fd_; }
  void Close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

}  // namespace shoal
