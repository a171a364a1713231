// A node's side of proto/weights.proto: sends pieces of models to other nodes, and gets the shard
// of a plan into its own store from the coordinator and other nodes.
//
// Thread rule: gRPC calls the handlers on its own threads; OpenShard one at a time; CancelFetch and
// Shutdown from any thread.
#pragma once

#include <grpcpp/server_context.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "model/gguf/chunk_store.h"
#include "model/gguf/stored_model.h"
#include "model/step/step.h"
#include "net/address.h"
#include "net/piece_supplier.h"
#include "node/piece_fetcher.h"
#include "node/service/piece_channels.h"
#include "proto/control.pb.h"
#include "proto/weights.grpc.pb.h"

namespace shoal {

// Where a shard's bytes may come from; checked.
struct WeightsRequest {
  Epoch epoch;
  Sha256Digest model_identity{};
  LayerRange layers;
  std::vector<LayerRange> spares;  // of the node's spare stages
  bool supplied = false;           // the coordinator calls Supply for this epoch
  uint32_t member = 0;
  std::vector<WeightPeer> peers;
};

// All but the spares. `own` is who this node dials its peers as. Errors: too many peers, an address
// that is none or that cannot be dialled without credentials.
Result<WeightsRequest> ReadWeightsRequest(const v1::PrepareRequest& request,
                                          const std::shared_ptr<const Credentials>& own);

class WeightsService final : public v1::Weights::Service {
 public:
  // `store` and `clock` outlive the service. `max_upload_bytes_per_s` 0: unlimited.
  WeightsService(ChunkStore& store, int64_t max_upload_bytes_per_s, const Clock& clock);

  grpc::Status Fetch(grpc::ServerContext* context, FetchServerStream* stream) override;
  grpc::Status Supply(grpc::ServerContext* context, SupplyServerStream* stream) override;
  grpc::Status Have(grpc::ServerContext* context, const v1::HaveRequest* request,
                    v1::HaveReply* reply) override;

  // The shard and its spares from the store, after what is missing there was fetched. `pool` hashes
  // what the store has not checked yet. Errors: those of PieceFetcher::Fetch and StoredModel::Make;
  // what has come stays in the store. Without the spares if they cannot be fetched.
  Result<GgufFile> OpenShard(const WeightsRequest& request, ThreadPool& pool,
                             FetchProgress* progress);
  // Makes an OpenShard that is under way fail soon.
  void CancelFetch();
  // The same, and ends every stream.
  void Shutdown();

 private:
  class Sources;

  Result<StoredModel> FetchModel(Sources& sources, const Sha256Digest& identity, ThreadPool& pool);
  // Gives what keeps them in the store.
  Result<ChunkStore::Pin> FetchLayers(Sources& sources, const StoredModel& model,
                                      const LayerRange& layers, ThreadPool& pool,
                                      FetchProgress* progress);
  Status FetchChunks(Sources& sources, const StoredModel& model,
                     const std::map<Sha256Digest, int64_t>& chunks, ThreadPool& pool,
                     FetchProgress* progress);

  ChunkStore& store_;
  const Clock& clock_;
  UploadLimit upload_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> fetches_{0};  // streams that other nodes have open
  SupplyDesk desk_;

  std::mutex mutex_;                 // guards the next two
  PieceFetcher* fetcher_ = nullptr;  // of the OpenShard under way, once it fetches
};

}  // namespace shoal
