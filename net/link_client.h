// The dialling end of a link between stages, or of the coordinator's links to the first and the
// last stage: connect, shake hands, then send steps, or receive steps or results.
//
// Thread rule: one thread sends, one receives; Cancel from any.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/sha256.h"
#include "model/step/step.h"
#include "net/address.h"
#include "net/identity/credentials.h"
#include "net/local_lane.h"
#include "net/wire/activation_codec.h"
#include "proto/pipeline.grpc.pb.h"

namespace shoal {

// What the dialled stage must be.
struct LinkTarget {
  std::string name;  // for error messages
  Address address;
  Trust trust;
  Epoch epoch;
  Sha256Digest model_identity{};
  LayerRange layers;
  ActivationCodec codec;  // that steps travel in
};

class LinkClient {
 public:
  // Blocks for at most 2 * kCallTimeoutMs. Errors name the target: not reachable, or what differs.
  static Result<std::unique_ptr<LinkClient>> Dial(const LinkTarget& target, v1::LinkRole role);
  ~LinkClient();

  // Blocks only while the peer's window is full. After an error the link is of no more use, and
  // every later call fails; whether the step ran is unknown.
  Status Send(const Step& step);
  // Each blocks until what its role says comes, or the link ends (an error). The step is valid
  // until the next call.
  Result<StepResult> Receive();
  Result<const v1::StepMessage*> ReceiveStep();
  // Makes blocked calls, and all later ones, fail soon.
  void Cancel();

 private:
  explicit LinkClient(const LinkTarget& target) : target_(target) {}
  Status Shake(v1::LinkRole role);
  Status TakeLane(const std::string& name);
  Status ReceiveMessage();
  Status Explain(const Status& of_lane);
  Error Ended() const;
  Error Broken();  // ends the stream, which says why it broke

  LinkTarget target_;
  std::shared_ptr<grpc::Channel> channel_;  // shared with gRPC's stub
  grpc::ClientContext context_;
  std::unique_ptr<v1::Pipeline::Stub> stub_;
  // Null once it has ended.
  std::unique_ptr<grpc::ClientReaderWriter<v1::LinkMessage, v1::LinkMessage>> stream_;
  std::optional<LocalLane> lane_;  // that messages take instead of the stream
  v1::LinkMessage out_;            // reused, so that sending allocates little
  v1::LinkMessage in_;
};

}  // namespace shoal
