// A pipeline whose stages are nodes reached over gRPC: prepared, linked, watched, and given up as a
// whole when any part of it fails.
//
// Thread rule: Build and the destructor from the thread that supervises it; Submit from the engine.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "coordinator/pipeline.h"
#include "coordinator/service/node_link.h"
#include "net/link_client.h"
#include "partitioner/plan.h"

namespace shoal {

struct PipelineOrder {
  Epoch epoch;
  std::string model_path;
  Sha256Digest model_identity{};
  Plan plan;  // stage i runs on nodes[plan.stages[i].device]
  int64_t kv_tokens = 0;
  TensorType kv_type = TensorType::kF16;
  std::vector<ActivationCodec> codecs;  // of the links into each stage; the first carries none
};

struct PipelineLoss {
  Error error;
  int32_t node = -1;  // index of the node that is gone; -1: it is not clear that one is
};

class RemotePipeline final : public Pipeline {
 public:
  // Loads every shard (in parallel), links the stages, and returns when every one has answered.
  // `progress` gets a line to show. Errors name the node.
  static Result<std::shared_ptr<RemotePipeline>> Build(
      std::vector<std::unique_ptr<NodeLink>> nodes, const PipelineOrder& order, const Clock& clock,
      const std::function<void(const std::string&)>& progress);
  ~RemotePipeline() override;

  // Begins to deliver results to `listener`, which outlives this.
  void Start(PipelineListener& listener);
  Status Submit(Step step) override;

  // Makes a Submit that is blocked by a stage that reads no more, and all later ones, fail. Any
  // thread.
  void Cancel();

  // Blocks until the pipeline is lost, or for `timeout_ms`; nothing if it still works.
  std::optional<PipelineLoss> WaitLost(int timeout_ms);

 private:
  RemotePipeline(std::vector<std::unique_ptr<NodeLink>> nodes, const PipelineOrder& order,
                 const Clock& clock)
      : order_(order), clock_(clock), nodes_(std::move(nodes)) {}

  Status PrepareAll(const std::function<void(const std::string&)>& progress);
  Status WatchAll();
  Status LinkAll();
  NodeLink& node_of(size_t stage);
  LinkTarget TargetOf(size_t stage);      // for the coordinator
  LinkTarget PeerTargetOf(size_t stage);  // for the stage before
  void Lose(Error error, int32_t node);
  void ResultThreadMain(PipelineListener& listener);
  void HeartbeatThreadMain();

  const PipelineOrder order_;
  const Clock& clock_;
  std::vector<std::unique_ptr<NodeLink>> nodes_;
  std::unique_ptr<LinkClient> steps_;
  std::unique_ptr<LinkClient> results_;

  std::mutex mutex_;  // guards the next three
  std::condition_variable changed_;
  std::optional<Error> reported_;     // something failed, which may have its cause elsewhere
  std::optional<PipelineLoss> lost_;  // a node is gone: the cause

  std::thread result_thread_;
  std::thread heartbeat_thread_;
};

}  // namespace shoal
