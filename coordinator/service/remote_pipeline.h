// A pipeline whose stages are nodes reached over gRPC: prepared, linked, watched, and given up as a
// whole when any part of it fails.
//
// Thread rule: belongs to the thread that supervises it, but Submit, which is the engine's.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "coordinator/pipeline.h"
#include "coordinator/service/node_link.h"
#include "net/link_client.h"
#include "partitioner/plan.h"

namespace shoal {

// Where one node reaches another by a relay of this coordinator's.
using RelayAddress = std::function<Result<Address>(const MeshNode& from, const MeshNode& to)>;

struct PipelineOrder {
  Epoch epoch;
  std::string model_path;
  Sha256Digest model_identity{};
  Plan plan;                                    // stage i runs on nodes[plan.stages[i].device]
  std::vector<std::vector<SpareStage>> spares;  // [nodes], or none
  int64_t kv_tokens = 0;
  TensorType kv_type = TensorType::kF16;
  WeightsOffer weights;
  std::vector<ActivationCodec> codecs;  // of the links into each stage; the first carries none
  // None: the coordinator relays nothing between these nodes.
  RelayAddress relay;
};

struct PipelineLoss {
  Error error;
  int32_t node = -1;    // index of the node that is the cause; -1: it is not clear that one is
  bool leaves = false;  // the node said that it goes, and computes still
  bool left = false;    // it had said so, and is gone now
  // The nodes whose link to each other is gone, where that is all that is known.
  std::optional<std::pair<int32_t, int32_t>> between = {};
  bool relayed = false;  // that link, by this coordinator
};

class RemotePipeline final : public Pipeline {
 public:
  // `clock` outlives this. `on_broken` is called on any thread, and perhaps more than once, when
  // Lost has something to say.
  RemotePipeline(std::vector<std::unique_ptr<NodeLink>> nodes, const PipelineOrder& order,
                 const Clock& clock, std::function<void()> on_broken)
      : order_(order),
        clock_(clock),
        on_broken_(std::move(on_broken)),
        nodes_(std::move(nodes)),
        openers_(order_.plan.stages.size()) {}
  ~RemotePipeline() override;

  // The way to a pipeline that works, in this order, each called once. They block, and return what
  // failed if something did: then nothing but the destructor may follow.

  // Loads every shard, in parallel, until one node cannot. `progress` gets a line to show.
  std::optional<PipelineLoss> Prepare(const std::function<void(const std::string&)>& progress);
  // Has every node get what its store lacks of its shard, beside the plan that it has a part in. Of
  // no use for Watch: another object is made for the plan itself.
  std::optional<PipelineLoss> FetchAhead();
  // Has every node say when it fails or goes; heartbeats begin.
  std::optional<PipelineLoss> Watch();
  std::optional<PipelineLoss> Link();
  // Sends a token through all stages; `answered` gets the indices of those that computed it.
  std::optional<PipelineLoss> Verify(std::vector<int32_t>& answered);

  // Begins to deliver results to `listener`, which outlives this.
  void Start(PipelineListener& listener);
  Status Submit(Step step) override;

  // Makes what is blocked by a node, and all that follows, fail. Any thread.
  void Cancel();

  // Who opened the link into a stage, the first excepted, since Link.
  LinkOpener opener(size_t stage) const { return openers_[stage]; }

  std::string label(int32_t node) const { return nodes_[static_cast<size_t>(node)]->label(); }
  // When the node was last there for certain: every stage has had a part in a result, so that
  // heartbeats are needed only while none come. REQUIRES that it has a stage, and Watch.
  int64_t heard_ns(int32_t node) const {
    return std::max(nodes_[static_cast<size_t>(node)]->last_heard_ns(), last_result_ns_.load());
  }

  // Why the pipeline works no more; nothing if it does. Where it is not clear yet which node is the
  // cause, blocks for a moment until it is.
  std::optional<PipelineLoss> Lost();

 private:
  NodeLink& node_of(size_t stage) const;
  LinkTarget TargetOf(size_t stage);      // for the coordinator
  LinkTarget PeerTargetOf(size_t stage);  // for other nodes
  std::vector<LinkOpener> WaysInto(size_t stage) const;
  bool GoesThroughHub(size_t stage, LinkOpener opener) const;
  Status OpenLink(size_t stage, LinkOpener opener);
  std::optional<PipelineLoss> LinkStage(size_t stage);
  bool IsOver();
  int32_t device_of(size_t stage) const { return order_.plan.stages[stage].device; }
  ShardOrder ShardOf(size_t stage) const;
  std::optional<PipelineLoss> PrepareAll(
      bool fetch_only, const std::function<void(size_t, const ShardProgress&)>& show);
  void Keep(std::unique_ptr<LinkClient> link, std::unique_ptr<LinkClient>& as);
  void Lose(PipelineLoss loss);
  PipelineLoss LinkLoss(size_t stage, const Error& error) const;  // of the link into the stage
  PipelineLoss LossOf(size_t stage, WatchEnd end, const Error& error) const;
  void ResultThreadMain(PipelineListener& listener);
  void HeartbeatThreadMain();
  void LoseStalledLinks();

  const PipelineOrder order_;
  const Clock& clock_;
  const std::function<void()> on_broken_;
  std::atomic<int64_t> last_result_ns_{std::numeric_limits<int64_t>::min()};
  std::vector<std::unique_ptr<NodeLink>> nodes_;
  // Made under mutex_, and used without it from then on.
  std::unique_ptr<LinkClient> steps_;
  std::unique_ptr<LinkClient> results_;
  std::vector<std::atomic<LinkOpener>> openers_;  // [stages]; of links that are open

  std::mutex mutex_;  // guards the next four
  std::condition_variable changed_;
  bool cancelled_ = false;
  std::optional<PipelineLoss> reported_;  // something failed, which may have its cause elsewhere
  std::optional<PipelineLoss> lost_;      // a node is gone: the cause

  std::thread result_thread_;
  std::thread heartbeat_thread_;
};

}  // namespace shoal
