// A blocking stream socket for tests, whose peer is of another make than the code under test.
#pragma once

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstddef>
#include <string>
#include <utility>

#include "net/address.h"

namespace shoal {

class RawStream {
 public:
  explicit RawStream(int fd) : fd_(fd) {}
  // Connected to a Unix socket, or a port of 127.0.0.1; CHECKs that this works.
  explicit RawStream(const Address& address);
  ~RawStream() {
    if (fd_ >= 0) ::close(fd_);
  }
  RawStream(RawStream&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  RawStream& operator=(RawStream&&) = delete;

  bool Send(const std::string& bytes);
  // Fewer only at the end of the stream, or after a minute.
  std::string Receive(size_t bytes);
  std::string ReceiveAll();
  // What is there, as soon as there is something; nothing at the end of the stream.
  std::string ReceiveSome();
  void EndSending() { ::shutdown(fd_, SHUT_WR); }
  // As much as is taken without waiting, up to `most`.
  size_t SendWithoutWaiting(size_t most);

 private:
  std::string ReceiveUpTo(size_t most);
  int fd_;
};

// Listens on a Unix socket; CHECKs that this works.
int ListenUnix(const std::string& path);

}  // namespace shoal
