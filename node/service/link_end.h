// The answering end of a link: a gRPC stream, and beside it the lane that messages take where the
// other end is a process of the same machine.
//
// Thread rule: one thread sends, one receives; Cancel from any.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/sync_stream.h>

#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"
#include "net/local_lane.h"
#include "proto/pipeline.grpc.pb.h"

namespace shoal {

using LinkServerStream = grpc::ServerReaderWriter<v1::LinkMessage, v1::LinkMessage>;

class LinkEnd {
 public:
  // Both outlive this.
  LinkEnd(grpc::ServerContext& context, LinkServerStream& stream)
      : context_(context), stream_(stream) {}

  // Ends the handshake; with a path, messages take a lane there if the other end can. Errors: the
  // stream is broken, the other end does not say whether it took the lane, or did not.
  Status SayReady(const std::optional<std::string>& lane_path);
  // Blocks while the other end reads nothing. False: the link is broken.
  bool Send(const v1::LinkMessage& message);
  // Blocks until a message comes, or the link ends: false. Error: what came is no message.
  Result<bool> Receive(v1::LinkMessage& message);
  // Blocks until the other end ends the link.
  void WaitForEnd();
  // Makes blocked calls, and all later ones, fail soon.
  void Cancel();

 private:
  Status OpenLane(LocalLane lane);

  grpc::ServerContext& context_;
  LinkServerStream& stream_;
  std::mutex mutex_;  // guards cancelled_, and lane_ until the handshake is over
  bool cancelled_ = false;
  std::optional<LocalLane> lane_;
};

}  // namespace shoal
