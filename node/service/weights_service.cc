#include "node/service/weights_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "net/channel.h"
#include "node/warm_memory.h"

namespace shoal {

namespace {

constexpr int kMaxPeers = 64;
constexpr int kMaxFetches = 16;  // streams of other nodes at once: each holds a thread
constexpr size_t kMaxHaveHashes = 1 << 20;
constexpr int kCheckers = 2;  // hash a gigabyte a second each, several times what a link brings
constexpr auto kComing = std::chrono::seconds(8);  // below FetchSchedule::kPatienceNs

}  // namespace

Result<WeightsRequest> ReadWeightsRequest(const v1::PrepareRequest& request,
                                          const std::shared_ptr<const Credentials>& own) {
  WeightsRequest weights;
  weights.epoch = Epoch{request.epoch()};
  ASSIGN_OR_RETURN(weights.model_identity, ReadDigest(request.model_identity()));
  weights.layers = {request.layer_begin(), request.layer_end()};
  weights.supplied = request.supplied();
  weights.member = request.member();
  if (request.peers_size() > kMaxPeers) {
    return InvalidArgument(fmt::format("{} peers, at most {}", request.peers_size(), kMaxPeers));
  }
  for (const v1::WeightPeer& peer : request.peers()) {
    ASSIGN_OR_RETURN(Address address, ParseAddress(peer.address()));
    const Trust trust = peer.id().empty() ? Trust{} : Trust{own, Role::kNode, peer.id()};
    if (const Status diallable = CheckDiallable(address, trust); !diallable.ok()) {
      spdlog::debug("no weights from {}: {}", peer.name(), diallable.error().message);
      continue;
    }
    weights.peers.push_back({peer.name(),
                             std::move(address),
                             peer.member(),
                             {peer.layer_begin(), peer.layer_end()},
                             trust});
  }
  return weights;
}

WeightsService::WeightsService(ChunkStore& store, int64_t max_upload_bytes_per_s,
                               const Clock& clock)
    : store_(store), clock_(clock), upload_(max_upload_bytes_per_s) {}

grpc::Status WeightsService::Fetch(grpc::ServerContext* context, FetchServerStream* stream) {
  if (++fetches_ > kMaxFetches) {
    --fetches_;
    return {grpc::RESOURCE_EXHAUSTED, fmt::format("{} nodes fetch from here", kMaxFetches)};
  }
  const auto stop = [&] { return stopping_ || context->IsCancelled(); };
  PieceSupplier supplier(store_, upload_);
  const Status served = supplier.Serve(
      *stream, *stream,
      [&](const Sha256Digest& digest) { return store_.WaitFor(digest, kComing, stop); }, stop);
  --fetches_;
  return served.ok() ? grpc::Status::OK : ToGrpcStatus(served.error());
}

grpc::Status WeightsService::Supply(grpc::ServerContext* context, SupplyServerStream* stream) {
  return desk_.Serve(*context, *stream);
}

grpc::Status WeightsService::Have(grpc::ServerContext* /*context*/, const v1::HaveRequest* request,
                                  v1::HaveReply* reply) {
  constexpr size_t kBytes = sizeof(Sha256Digest);
  const std::string_view hashes = request->hashes();
  if (hashes.size() % kBytes != 0 || hashes.size() / kBytes > kMaxHaveHashes) {
    return {grpc::INVALID_ARGUMENT, fmt::format("{} bytes of hashes", hashes.size())};
  }
  for (size_t i = 0; i < hashes.size(); i += kBytes) {
    const Result<Sha256Digest> digest = ReadDigest(hashes.substr(i, kBytes));
    reply->mutable_have()->push_back(digest.ok() && store_.Has(*digest) ? 1 : 0);
  }
  return grpc::Status::OK;
}

// What a shard is fetched from, connected when the first piece is missing.
class WeightsService::Sources {
 public:
  Sources(WeightsService& service, const WeightsRequest& request)
      : service_(service), request_(request) {}

  ~Sources() {
    if (fetcher_ != nullptr) {
      const std::lock_guard lock(service_.mutex_);
      service_.fetcher_ = nullptr;
    }
    service_.desk_.Release(request_.epoch);
  }

  PieceFetcher& fetcher() {
    if (fetcher_ != nullptr) return *fetcher_;
    if (request_.supplied) service_.desk_.Acquire(request_.epoch, coordinator_);
    std::vector<PieceChannel*> channels = {&coordinator_};
    std::vector<std::future<std::unique_ptr<PeerChannel>>> connecting;
    for (const WeightPeer& peer : request_.peers) {
      connecting.push_back(
          std::async(std::launch::async, [&peer] { return std::make_unique<PeerChannel>(peer); }));
    }
    for (std::future<std::unique_ptr<PeerChannel>>& one : connecting) {
      peers_.push_back(one.get());
      channels.push_back(peers_.back().get());
    }
    fetcher_ = std::make_unique<PieceFetcher>(service_.store_, std::move(channels), service_.clock_,
                                              kCheckers);
    const std::lock_guard lock(service_.mutex_);
    service_.fetcher_ = fetcher_.get();
    if (service_.stopping_) fetcher_->Cancel();
    return *fetcher_;
  }

  // Sets the items' sources by what the peers say that they have, and by what they get.
  void Assign(const StoredModel& model, std::span<FetchItem> items) {
    fetcher();
    std::vector<Sha256Digest> wanted;
    for (const FetchItem& item : items) wanted.push_back(item.digest);
    std::vector<std::future<Result<std::set<Sha256Digest>>>> asking;
    for (const std::unique_ptr<PeerChannel>& peer : peers_) {
      asking.push_back(
          std::async(std::launch::async, [&wanted, &peer] { return peer->Have(wanted); }));
    }
    std::vector<FetchPeer> peers;
    for (size_t i = 0; i < peers_.size(); ++i) {
      FetchPeer& peer = peers.emplace_back(FetchPeer{request_.peers[i].member, {}, {}});
      Result<std::set<Sha256Digest>> has = asking[i].get();
      if (!has.ok()) {
        spdlog::warn("weights from {}: {}", peers_[i]->name(), has.error().message);
        continue;
      }
      peer.has = std::move(has).value();
      const LayerRange layers = request_.peers[i].layers;
      if (layers.size() <= 0) continue;
      for (const auto& [chunk, bytes] : ChunksOf(model.TensorsOf(layers.begin, layers.end))) {
        peer.gets.insert(chunk);
      }
    }
    AssignSources(items, request_.member, peers);
  }

 private:
  WeightsService& service_;
  const WeightsRequest& request_;
  SuppliedChannel coordinator_;
  std::vector<std::unique_ptr<PeerChannel>> peers_;
  std::unique_ptr<PieceFetcher> fetcher_;
};

Result<StoredModel> WeightsService::FetchModel(Sources& sources, const Sha256Digest& identity,
                                               ThreadPool& pool) {
  std::string documents[2];
  Sha256Digest wanted = identity;
  for (std::string& document : documents) {
    if (!store_.Missing({&wanted, 1}, pool).empty()) {
      RETURN_IF_ERROR(sources.fetcher().Fetch({{wanted, kMaxDocumentBytes, 0}}, nullptr));
    }
    const Content content = store_.Find(wanted);
    if (content.owner == nullptr) {
      return Unavailable(fmt::format("{}: piece {} is gone", store_.folder(), ToHex(wanted)));
    }
    document.assign(reinterpret_cast<const char*>(content.bytes.data()), content.bytes.size());
    if (&document != documents) break;
    ASSIGN_OR_RETURN(const Manifest manifest, ParseManifest(document));
    wanted = manifest.metadata_hash;
  }
  return StoredModel::Make(documents[0], documents[1]);
}

Status WeightsService::FetchChunks(Sources& sources, const StoredModel& model,
                                   const std::map<Sha256Digest, int64_t>& chunks, ThreadPool& pool,
                                   FetchProgress* progress) {
  std::vector<Sha256Digest> wanted;
  for (const auto& [chunk, bytes] : chunks) wanted.push_back(chunk);
  const std::vector<Sha256Digest> missing = store_.Missing(wanted, pool);
  if (missing.empty()) return OkStatus();
  std::vector<FetchItem> items;
  for (const Sha256Digest& chunk : missing) {
    items.push_back({chunk, chunks.at(chunk), 0});
    progress->bytes_total += chunks.at(chunk);
  }
  sources.Assign(model, items);
  int64_t bytes = 0;
  for (const auto& [chunk, size] : chunks) bytes += size;
  const WarmMemory warm(bytes);  // they are packed next
  return sources.fetcher().Fetch(std::move(items), progress);
}

Result<ChunkStore::Pin> WeightsService::FetchLayers(Sources& sources, const StoredModel& model,
                                                    const LayerRange& layers, ThreadPool& pool,
                                                    FetchProgress* progress) {
  const int64_t start_ns = clock_.NowNs();
  const int64_t start_bytes = progress->bytes_done;
  const int64_t start_first = progress->first_source_bytes;
  const auto chunks = ChunksOf(model.TensorsOf(layers.begin, layers.end));
  std::vector<Sha256Digest> kept = {model.manifest().metadata_hash};
  for (const auto& [chunk, bytes] : chunks) kept.push_back(chunk);
  ChunkStore::Pin pin = store_.Keep(std::move(kept));
  RETURN_IF_ERROR(FetchChunks(sources, model, chunks, pool, progress));
  spdlog::info("weights of layers [{}, {}): {} bytes fetched in {:.2f} s, {} from the coordinator",
               layers.begin, layers.end, progress->bytes_done - start_bytes,
               static_cast<double>(clock_.NowNs() - start_ns) / kNsPerS,
               progress->first_source_bytes - start_first);
  return pin;
}

Result<GgufFile> WeightsService::OpenShard(const WeightsRequest& request, ThreadPool& pool,
                                           FetchProgress* progress) {
  Sources sources(*this, request);
  const ChunkStore::Pin documents = store_.Keep({request.model_identity});
  ASSIGN_OR_RETURN(const StoredModel model, FetchModel(sources, request.model_identity, pool));
  std::vector<ChunkStore::Pin> pins(1);
  ASSIGN_OR_RETURN(pins[0], FetchLayers(sources, model, request.layers, pool, progress));
  std::set<const ManifestTensor*> tensors;
  const auto add = [&](const LayerRange& layers) {
    for (const ManifestTensor* tensor : model.TensorsOf(layers.begin, layers.end)) {
      tensors.insert(tensor);
    }
  };
  add(request.layers);
  for (const LayerRange& spare : request.spares) {
    Result<ChunkStore::Pin> pin = FetchLayers(sources, model, spare, pool, progress);
    if (!pin.ok()) {
      spdlog::warn("weights of layers [{}, {}), to spare: {}", spare.begin, spare.end,
                   pin.error().message);
      break;
    }
    pins.push_back(std::move(*pin));
    add(spare);
  }
  return model.Open(store_, std::vector(tensors.begin(), tensors.end()));
}

void WeightsService::CancelFetch() {
  const std::lock_guard lock(mutex_);
  if (fetcher_ != nullptr) fetcher_->Cancel();
}

void WeightsService::Shutdown() {
  stopping_ = true;
  desk_.Shutdown();
  CancelFetch();
}

}  // namespace shoal
