// What a stream's other end must say soon. gRPC's synchronous streams take no deadline for one
// read, and a handler that waits for ever holds one of the server's threads.
#pragma once

#include <grpcpp/server_context.h>

#include "net/channel.h"
#include "net/deadline_guard.h"

namespace shoal {

// Blocks for at most kCallTimeoutMs. False: no message came, and the call is over.
template <typename Stream, typename Message>
bool ReadInTime(grpc::ServerContext& context, Stream& stream, Message& message) {
  const DeadlineGuard guard(kCallTimeoutMs, [&context] { context.TryCancel(); });
  return stream.Read(&message);
}

}  // namespace shoal
