// The coordinator's side of Weights.Supply: while it lives, a node that is being prepared can ask
// for pieces of the model.
//
// Thread rule: runs a thread of its own; belongs to the thread that made it.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <atomic>
#include <memory>
#include <thread>

#include "base/content_source.h"
#include "model/step/step.h"
#include "net/piece_supplier.h"
#include "proto/weights.grpc.pb.h"

namespace shoal {

// What nodes without the model's file get it from. Both are shared by every link to a node.
struct WeightsOffer {
  std::shared_ptr<ContentSource> source;  // null: nothing is offered
  std::shared_ptr<UploadLimit> limit;
};

class WeightsSupply {
 public:
  // Does not block. A node that does not speak the protocol, or needs nothing, makes no error.
  WeightsSupply(const std::shared_ptr<grpc::Channel>& channel, Epoch epoch, WeightsOffer offer);
  ~WeightsSupply();

 private:
  void ThreadMain(Epoch epoch);

  const WeightsOffer offer_;
  const std::unique_ptr<v1::Weights::Stub> stub_;
  grpc::ClientContext context_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace shoal
