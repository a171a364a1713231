// A node as its peers see it: the gRPC services of proto/control.proto and proto/pipeline.proto.
// Holds at most one plan; a plan with a higher epoch replaces it.
//
// Thread rule: gRPC calls the handlers on its own threads.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "base/clock.h"
#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "model/gguf/chunk_store.h"
#include "net/address.h"
#include "net/identity/credentials.h"
#include "net/link_probe.h"
#include "node/service/active_plan.h"
#include "node/service/weights_service.h"
#include "node/shard_host.h"
#include "proto/control.grpc.pb.h"
#include "proto/pipeline.grpc.pb.h"

namespace shoal {

struct NodeOptions {
  std::string name;
  Address listen;
  std::string model_path;    // if set, the only model this node serves
  std::string cache_folder;  // where identities of models are remembered; empty: nowhere
  std::string store_folder;  // where weights that were fetched are kept; empty: none are
  bool needs_store = true;   // else a folder that cannot be used counts as none
  int64_t store_quota_bytes = 0;
  int64_t max_upload_bytes_per_s = 0;  // of weights, to other nodes; 0: unlimited
  // Whether a node that serves this machine only opens the file that a coordinator names.
  bool open_named_files = true;
  int threads = 1;                 // that compute
  int64_t memory_limit_bytes = 0;  // 0: what the OS says is available
  // Of the mesh that this node is a member of; shared with its channels. Null: a Unix socket only.
  std::shared_ptr<Credentials> credentials;
  // Where a node that can only be reached by relay is to be dialled; `hub` is the one of the
  // coordinator that wants it. None: nowhere. Called from any thread.
  std::function<Result<Address>(const std::string& node, const Address& hub)> relay;
};

class NodeService final : public v1::NodeControl::Service, public v1::Pipeline::Service {
 public:
  // `weights` outlives the service; null: it fetches none.
  NodeService(const NodeOptions& options, const kernels::KernelTable& kernels,
              WeightsService* weights);
  ~NodeService() override;

  grpc::Status Describe(grpc::ServerContext* context, const v1::DescribeRequest* request,
                        v1::DescribeReply* reply) override;
  grpc::Status Profile(grpc::ServerContext* context, const v1::ProfileRequest* request,
                       grpc::ServerWriter<v1::ProfileReply>* writer) override;
  grpc::Status ProbeLink(grpc::ServerContext* context, const v1::ProbeLinkRequest* request,
                         v1::ProbeLinkReply* reply) override;
  grpc::Status Prepare(grpc::ServerContext* context, const v1::PrepareRequest* request,
                       grpc::ServerWriter<v1::PrepareProgress>* writer) override;
  grpc::Status Connect(grpc::ServerContext* context, const v1::ConnectRequest* request,
                       v1::ConnectReply* reply) override;
  grpc::Status Watch(grpc::ServerContext* context, WatchServerStream* stream) override;
  grpc::Status Link(grpc::ServerContext* context, LinkServerStream* stream) override;
  grpc::Status Probe(grpc::ServerContext* context, ProbeServerStream* stream) override;

  // With a reason: the node takes no plan and measures nothing; its coordinator is told the reason
  // and plans without it, for which this waits, 10 s at most; then it frees the weights. Without:
  // it serves again.
  void SetUnavailable(const std::optional<std::string>& reason);
  uint64_t instance() const { return probe_server_.instance(); }
  // Ends the plan if a peer that was revoked has a part in it.
  void EndIfRevoked();
  // Ends the plan, if there is one, so that blocked handlers return.
  void Shutdown();

 private:
  Result<ShardRequest> CheckPrepare(const v1::PrepareRequest& request) const;
  Status Replace(Epoch epoch);  // ends the current plan and waits until its stage is free
  static Status CheckIdle(const std::shared_ptr<ActivePlan>& plan);  // blocks as WaitIdle
  std::shared_ptr<ActivePlan> CurrentPlan();                         // null: there is none
  Result<std::shared_ptr<ActivePlan>> Find(Epoch epoch);
  // What LoadShard is doing, for PrepareProgress.
  struct ShardProgress {
    FetchProgress fetch;
    LoadProgress load;
  };
  grpc::Status FetchAhead(grpc::ServerContext& context, const v1::PrepareRequest& request,
                          const ShardRequest& shard, std::span<const ShardRequest> spares,
                          grpc::ServerWriter<v1::PrepareProgress>& writer);
  Result<WeightsRequest> WantedWeights(const v1::PrepareRequest& request,
                                       std::span<const ShardRequest> spares) const;
  Status LoadShard(const v1::PrepareRequest& request, const ShardRequest& shard,
                   std::span<const ShardRequest> spares, ShardProgress& progress);
  Status CheckAvailable();
  Result<Address> Reach(const std::string& text, const std::string& caller) const;
  std::optional<std::string> MakeLanePath();  // none: this node offers no lanes
  bool IsServing();
  Trust TrustOf(const std::string& node_id) const;  // of another node that is to be dialled

  std::atomic<uint64_t> lanes_ = 0;  // offered so far
  const NodeOptions options_;
  const kernels::KernelTable& kernels_;
  WeightsService* const weights_;
  ThreadPool pool_;
  ShardHost shard_host_;
  ProbeServer probe_server_;
  std::mutex fetch_mutex_;  // one use of weights_' fetching at a time; taken after prepare_mutex_
  std::atomic<bool> preparing_ = false;
  std::mutex prepare_mutex_;  // one Prepare or measurement at a time; guards the next
  double weight_bytes_per_s_ = 0;

  std::mutex mutex_;                        // guards the three below
  std::optional<std::string> unavailable_;  // why
  Epoch highest_epoch_;
  // Shared with the handlers that serve its links.
  std::shared_ptr<ActivePlan> plan_;
};

// The running server. Start refuses an address on the network without credentials.
class NodeServer {
 public:
  static Result<std::unique_ptr<NodeServer>> Start(const NodeOptions& options,
                                                   const kernels::KernelTable& kernels);
  // Ends the plan, closes every connection.
  ~NodeServer();

  // With the port that was bound.
  const Address& address() const { return address_; }
  // See NodeService. Safe from any thread.
  void SetUnavailable(const std::optional<std::string>& reason) {
    service_->SetUnavailable(reason);
  }
  NodeService& service() { return *service_; }

 private:
  NodeServer() = default;
  Address address_;
  SteadyClock clock_;
  std::unique_ptr<ChunkStore> store_;
  std::unique_ptr<WeightsService> weights_;
  std::unique_ptr<NodeService> service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace shoal
