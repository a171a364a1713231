// How one command speaks to a running one of the same user: a Unix socket of mode 0600 that takes
// one line and answers one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace shoal {

class ControlSocket {
 public:
  static constexpr size_t kMaxLineBytes = 256;

  // `answer` is called on the socket's own thread with each line that comes. Errors: the path is
  // too long for a socket, or in use by a living process (one that nobody listens on is replaced).
  static Result<std::unique_ptr<ControlSocket>> Listen(
      const std::string& path, std::function<std::string(const std::string&)> answer);
  // Removes the file.
  ~ControlSocket();

 private:
  ControlSocket(std::string path, FileDescriptor socket,
                std::function<std::string(const std::string&)> answer);
  void ThreadMain();

  const std::string path_;
  const FileDescriptor socket_;
  const FileDescriptor stop_;  // an eventfd
  const std::function<std::string(const std::string&)> answer_;
  std::thread thread_;
};

// The answer to a line. Errors: kNotFound if nobody listens there; no answer within a few seconds.
Result<std::string> AskControlSocket(const std::string& path, const std::string& line);

}  // namespace shoal
