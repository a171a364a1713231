// Any bytes on a lane are messages, which say the same when they are sent on, or its end.
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/check.h"
#include "net/local_lane.h"
#include "proto/pipeline.pb.h"

namespace shoal {
namespace {

struct Ends {
  FileDescriptor bytes;
  LocalLane lane;
};

Ends MakeEnds() {
  int ends[2];
  CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "no sockets");
  return {FileDescriptor(ends[0]), LocalLane(FileDescriptor(ends[1]))};
}

}  // namespace
}  // namespace shoal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace shoal;
  constexpr size_t kMost = 32 << 10;  // fits a socket's buffer
  if (size > kMost) return 0;
  Ends from = MakeEnds();
  CHECK(::send(from.bytes.get(), data, size, 0) == static_cast<ssize_t>(size), "a full socket");
  from.bytes.Close();
  v1::LinkMessage message, again;
  while (from.lane.Receive(message).ok()) {
    Ends to = MakeEnds();
    CHECK(to.lane.Send(message).ok(), "a message that came can be sent");
    LocalLane reader(std::move(to.bytes));
    CHECK(reader.Receive(again).ok(), "and comes again");
    CHECK(again.SerializeAsString() == message.SerializeAsString(), "as it was");
  }
  return 0;
}
