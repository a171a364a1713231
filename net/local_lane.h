// The way that the messages of a link take between two processes of one machine: a Unix socket of
// the link's own, each message after its length (4 bytes, little endian). The link itself is a gRPC
// stream as everywhere: it shakes hands, tells why it ends, and stays open beside the lane. Past
// it, a message costs a third of the time where weights have pushed gRPC's code and data out of the
// caches (docs/benchmarks.md).
//
// Thread rule: one thread sends, one receives; Shutdown from any.
#pragma once

#include <google/protobuf/message_lite.h>

#include <string>
#include <utility>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace shoal {

class LocalLane {
 public:
  // Error: kNotFound if nobody listens at `path`.
  static Result<LocalLane> Connect(const std::string& path);
  // Of a connected stream.
  explicit LocalLane(FileDescriptor socket) : socket_(std::move(socket)) {}

  // Blocks while the socket's buffer is full. Errors: the lane is closed (kUnavailable); a message
  // beyond kMaxMessageBytes (kInvalidArgument), of which nothing is sent.
  Status Send(const google::protobuf::MessageLite& message);
  // Blocks until a message has come. Errors: the lane is closed (kUnavailable); a length beyond
  // kMaxMessageBytes, or what is no such message (kInvalidArgument): nothing can follow then.
  Status Receive(google::protobuf::MessageLite& message);
  // Makes blocked calls of both ends, and all later ones, fail.
  void Shutdown();

 private:
  Status Fill(size_t bytes);

  FileDescriptor socket_;
  std::string out_;    // the two are reused
  std::string in_;     // what has come, at its front
  size_t filled_ = 0;  // bytes of in_
};

// Waits at a path for the other end of one lane. The file is for this user alone.
class LaneListener {
 public:
  // Errors: as ListenOnUnixSocket.
  static Result<LaneListener> Open(const std::string& path);
  ~LaneListener();
  LaneListener(LaneListener&&) = default;
  LaneListener& operator=(LaneListener&&) = delete;

  // Does not wait. Error: nobody has come.
  Result<LocalLane> Accept();

 private:
  LaneListener(FileDescriptor socket, std::string path)
      : socket_(std::move(socket)), path_(std::move(path)) {}

  FileDescriptor socket_;
  std::string path_;
};

}  // namespace shoal
