#include "node/service/node_service.h"

#include <fmt/format.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <optional>
#include <random>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/wall_clock.h"
#include "model/gguf/kv_type.h"
#include "net/channel.h"
#include "net/first_message.h"
#include "net/unix_socket.h"
#include "node/profiler.h"
#include "node/service/node_profile.h"

namespace shoal {

namespace {

constexpr int kProgressMs = 200;
// A coordinator that plans anew closes its watch first; this long until that shows here.
constexpr int kWatchEndMs = 1000;
// For a coordinator to plan without this node when it leaves.
constexpr int kDrainMs = 10'000;
constexpr int kMaxServerThreads = 64;
constexpr int32_t kMaxLayers = 4096;
constexpr int kMaxSpares = 64;
constexpr int64_t kMaxKvTokens = int64_t{1} << 32;

Status CheckBuild(uint32_t protocol_version, const std::string& build) {
  if (protocol_version == kProtocolVersion && build == BuildId()) return OkStatus();
  return FailedPrecondition(
      fmt::format("the coordinator is '{}' with protocol {}, this node is '{}' with protocol {}: "
                  "both must be the same",
                  build, protocol_version, BuildId(), kProtocolVersion));
}

Status CheckLayers(int32_t begin, int32_t end) {
  if (begin >= 0 && end > begin && end <= kMaxLayers) return OkStatus();
  return InvalidArgument(fmt::format("layers [{}, {}) are not a range", begin, end));
}

// The same shard of other layers.
Result<std::vector<ShardRequest>> SparesOf(const v1::PrepareRequest& request,
                                           const ShardRequest& shard) {
  if (request.spares_size() > kMaxSpares) {
    return InvalidArgument(
        fmt::format("{} spares, the limit is {}", request.spares_size(), kMaxSpares));
  }
  std::vector<ShardRequest> spares;
  for (const v1::SpareStage& spare : request.spares()) {
    RETURN_IF_ERROR(CheckLayers(spare.layer_begin(), spare.layer_end()));
    spares.push_back(shard);
    spares.back().layers = {spare.layer_begin(), spare.layer_end()};
    spares.back().stage_index = spare.stage_index();
  }
  return spares;
}

// gRPC takes a Unix socket away from whoever listens on it, so that is looked at before.
Status CheckUnixSocket(const std::string& path) {
  ASSIGN_OR_RETURN(const Listener listener, FindListener(path, 0));
  if (listener != Listener::kNone) {
    return Unavailable(fmt::format("unix:{} is in use by another process", path));
  }
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  if (::access(folder.c_str(), W_OK) != 0) {
    return Unavailable(fmt::format("unix:{}: folder {}: {}", path, folder, std::strerror(errno)));
  }
  return OkStatus();
}

// Not 0, so that a message without one names no node.
uint64_t RandomInstance() {
  std::random_device device;
  return (uint64_t{device()} << 32 | device()) | 1;
}

// A node obeys its coordinator, and works with the other members of its mesh.
constexpr CallRule kRules[] = {
    {"/shoal.v1.NodeControl/", Callers::kCoordinator},
    {"/shoal.v1.Weights/Supply", Callers::kCoordinator},
    {"/shoal.v1.Weights/", Callers::kMembers},
    {"/shoal.v1.Pipeline/", Callers::kMembers},
};

}  // namespace

NodeService::NodeService(const NodeOptions& options, const kernels::KernelTable& kernels,
                         WeightsService* weights)
    : options_(options),
      kernels_(kernels),
      weights_(weights),
      pool_(options.threads),
      shard_host_(kernels, pool_, options.cache_folder, options.memory_limit_bytes),
      probe_server_(RandomInstance()) {}

NodeService::~NodeService() = default;

grpc::Status NodeService::Describe(grpc::ServerContext* /*context*/,
                                   const v1::DescribeRequest* request, v1::DescribeReply* reply) {
  if (const Status build = CheckBuild(request->protocol_version(), request->build()); !build.ok()) {
    return ToGrpcStatus(build.error());
  }
  if (const Status here = CheckAvailable(); !here.ok()) return AsGrpc(here);
  const std::lock_guard lock(prepare_mutex_);
  {
    const std::lock_guard plan_lock(mutex_);
    reply->set_highest_epoch(highest_epoch_.value);
    // A node that serves is not measured again: that would disturb the answer in progress.
    if (weight_bytes_per_s_ == 0 && plan_ == nullptr) {
      weight_bytes_per_s_ = MeasureWeightBytesPerS(kernels_, pool_);
    }
  }
  reply->set_protocol_version(kProtocolVersion);
  reply->set_build(BuildId());
  reply->set_name(options_.name);
  reply->set_isa(std::string(kernels::IsaName(kernels_.isa)));
  reply->set_threads(options_.threads);
  reply->set_memory_bytes(shard_host_.OfferedBytes());
  reply->set_memory_limited(options_.memory_limit_bytes > 0);
  reply->set_weight_bytes_per_s(weight_bytes_per_s_);
  reply->set_host_id(HostId());
  reply->set_instance(probe_server_.instance());
  return grpc::Status::OK;
}

Status NodeService::CheckAvailable() {
  const std::lock_guard lock(mutex_);
  if (!unavailable_) return OkStatus();
  return Unavailable(fmt::format("this node is not available: {}", *unavailable_));
}

void NodeService::SetUnavailable(const std::optional<std::string>& reason) {
  std::shared_ptr<ActivePlan> plan;
  {
    const std::lock_guard lock(mutex_);
    unavailable_ = reason;
    plan = plan_;  // stays, ended, so that the next one waits until nobody computes with the stage
  }
  if (!reason) return;
  if (plan != nullptr && !plan->ended()) {
    plan->SayLeaving(*reason);
    if (!plan->WaitUnwatched(kDrainMs)) {
      spdlog::warn("the coordinator still uses this node after {} ms", kDrainMs);
    }
    plan->End(Unavailable(*reason));
  }
  // One that is loading a shard finds the reason and gives up.
  const std::lock_guard lock(prepare_mutex_);
  if (plan == nullptr || plan->WaitIdle()) shard_host_.Unload();
}

std::shared_ptr<ActivePlan> NodeService::CurrentPlan() {
  const std::lock_guard lock(mutex_);
  return plan_;
}

bool NodeService::IsServing() {
  const std::shared_ptr<ActivePlan> plan = CurrentPlan();
  return plan != nullptr && !plan->ended();
}

grpc::Status NodeService::Profile(grpc::ServerContext* context, const v1::ProfileRequest* request,
                                  grpc::ServerWriter<v1::ProfileReply>* writer) {
  if (const Status build = CheckBuild(request->protocol_version(), request->build()); !build.ok()) {
    return ToGrpcStatus(build.error());
  }
  if (const Status here = CheckAvailable(); !here.ok()) return AsGrpc(here);
  const Result<ProfileOrder> order = ReadProfileRequest(*request);
  if (!order.ok()) return ToGrpcStatus(order.error());
  const ProfilePlace place =
      PlaceHere(options_.threads, options_.cache_folder, options_.model_path);
  const int64_t now_unix_s = UnixNowS();
  const std::lock_guard lock(prepare_mutex_);
  v1::ProfileReply reply;
  std::optional<v1::ProfileMessage> profile;
  if (!order->refresh) {
    profile = FindProfile(options_.cache_folder, ProfileKey(place, kernels_.isa, order->dims),
                          order->types, now_unix_s);
  }
  if (!profile) {
    if (IsServing()) {
      return {grpc::FAILED_PRECONDITION,
              "this node serves a plan: measuring it would disturb the answer"};
    }
    if (const Status idle = CheckIdle(CurrentPlan()); !idle.ok()) return AsGrpc(idle);
    Result<v1::ProfileMessage> measured =
        MeasureNode(kernels_, pool_, *order, place, SteadyClock(), now_unix_s,
                    [&](int32_t done, int32_t total) {
                      reply.set_done(done);
                      reply.set_total(total);
                      return !context->IsCancelled() && writer->Write(reply);
                    });
    if (!measured.ok()) return ToGrpcStatus(measured.error());
    profile = std::move(measured).value();
  }
  AddPresentState(shard_host_.OfferedBytes(), *profile);
  reply.set_done(reply.total());
  *reply.mutable_profile() = std::move(*profile);
  static_cast<void>(writer->Write(reply));
  return grpc::Status::OK;
}

// The hub of a relay is where the coordinator that calls is.
Result<Address> NodeService::Reach(const std::string& text, const std::string& caller) const {
  ASSIGN_OR_RETURN(Address address, ParseAddress(text));
  if (!address.is_relay()) return address;
  if (options_.relay) {
    return options_.relay(address.relay_node, {{}, HostOfPeer(caller), address.port});
  }
  return FailedPrecondition(
      fmt::format("{}: this node belongs to no mesh, so no hub relays for it", text));
}

grpc::Status NodeService::ProbeLink(grpc::ServerContext* context,
                                    const v1::ProbeLinkRequest* request,
                                    v1::ProbeLinkReply* reply) {
  const Result<Address> address = Reach(request->address(), context->peer());
  if (!address.ok()) return ToGrpcStatus(address.error());
  const ProbeTarget target = {request->name(), *address, TrustOf(request->id()),
                              request->instance()};
  const Result<LinkMeasurement> link = shoal::ProbeLink(target, SteadyClock());
  if (!link.ok()) return ToGrpcStatus(link.error());
  reply->set_round_trip_s(link->round_trip_s);
  reply->set_round_trip_p95_s(link->round_trip_p95_s);
  reply->set_send_bytes_per_s(link->send_bytes_per_s);
  reply->set_receive_bytes_per_s(link->receive_bytes_per_s);
  return grpc::Status::OK;
}

grpc::Status NodeService::Probe(grpc::ServerContext* context, ProbeServerStream* stream) {
  return probe_server_.Serve(*context, *stream,
                             IsServing() ? kServingProbeBudgetBytes : kProbeBudgetBytes);
}

Result<ShardRequest> NodeService::CheckPrepare(const v1::PrepareRequest& request) const {
  RETURN_IF_ERROR(CheckBuild(request.protocol_version(), request.build()));
  ShardRequest shard;
  if (request.model_identity().size() != shard.model_identity.size()) {
    return InvalidArgument(fmt::format("model_identity has {} bytes, expected {}",
                                       request.model_identity().size(),
                                       shard.model_identity.size()));
  }
  std::copy(request.model_identity().begin(), request.model_identity().end(),
            shard.model_identity.begin());
  RETURN_IF_ERROR(CheckLayers(request.layer_begin(), request.layer_end()));
  if (request.kv_tokens() < 1 || request.kv_tokens() > kMaxKvTokens) {
    return InvalidArgument(
        fmt::format("kv_tokens {} is outside [1, {}]", request.kv_tokens(), kMaxKvTokens));
  }
  const TensorTypeInfo* kv_type = FindTensorType(request.kv_type());
  if (kv_type == nullptr || !IsKvType(kv_type->type)) {
    return Unimplemented(fmt::format("kv_type {}: expected F16, F32 or Q8_0",
                                     DescribeTensorType(request.kv_type())));
  }
  const bool opens_named = options_.listen.is_local() && options_.open_named_files;
  if (options_.model_path.empty() && !opens_named && weights_ == nullptr) {
    return FailedPrecondition(
        "this node serves a network and was started without --model: it opens no file that a "
        "peer names; start it with --model FILE");
  }
  shard.model_path = options_.model_path;
  if (shard.model_path.empty() && opens_named) shard.model_path = request.model_path();
  shard.layers = {request.layer_begin(), request.layer_end()};
  shard.stage_index = request.stage_index();
  shard.kv_tokens = request.kv_tokens();
  shard.kv_type = kv_type->type;
  return shard;
}

Status NodeService::Replace(Epoch epoch) {
  const std::shared_ptr<ActivePlan> old = CurrentPlan();
  if (old != nullptr && !old->WaitUnwatched(kWatchEndMs)) {
    return FailedPrecondition("this node is serving another coordinator");
  }
  {
    const std::lock_guard lock(mutex_);
    if (epoch <= highest_epoch_) {
      return FailedPrecondition(fmt::format("epoch {} is over: this node has seen epoch {}",
                                            epoch.value, highest_epoch_.value));
    }
    highest_epoch_ = epoch;
  }
  if (old != nullptr) old->End(std::nullopt);
  RETURN_IF_ERROR(CheckIdle(old));
  const std::lock_guard lock(mutex_);
  plan_ = nullptr;
  return OkStatus();
}

// A plan that computes on when it has ended stays in plan_: its stage and the pool are in use.
Status NodeService::CheckIdle(const std::shared_ptr<ActivePlan>& plan) {
  if (plan == nullptr || plan->WaitIdle()) return OkStatus();
  return DeadlineExceeded(
      fmt::format("epoch {} is still computing after {} ms", plan->epoch().value, kCallTimeoutMs));
}

Status NodeService::LoadShard(const v1::PrepareRequest& request, const ShardRequest& shard,
                              std::span<const ShardRequest> spares, ShardProgress& progress) {
  if (weights_ == nullptr) return shard_host_.Load(shard, spares, nullptr, &progress.load);
  ASSIGN_OR_RETURN(const WeightsRequest weights, WantedWeights(request, spares));
  const auto open = [&] {
    const std::lock_guard alone(fetch_mutex_);
    return weights_->OpenShard(weights, pool_, &progress.fetch);
  };
  return shard_host_.Load(shard, spares, open, &progress.load);
}

Result<WeightsRequest> NodeService::WantedWeights(const v1::PrepareRequest& request,
                                                  std::span<const ShardRequest> spares) const {
  ASSIGN_OR_RETURN(WeightsRequest weights, ReadWeightsRequest(request, options_.credentials));
  for (const ShardRequest& spare : spares) weights.spares.push_back(spare.layers);
  return weights;
}

// The stage that serves has the pool for itself.
grpc::Status NodeService::FetchAhead(grpc::ServerContext& context,
                                     const v1::PrepareRequest& request, const ShardRequest& shard,
                                     std::span<const ShardRequest> spares,
                                     grpc::ServerWriter<v1::PrepareProgress>& writer) {
  const bool has_file = !shard.model_path.empty() && ::access(shard.model_path.c_str(), R_OK) == 0;
  if (weights_ == nullptr || has_file) return grpc::Status::OK;
  const Result<WeightsRequest> weights = WantedWeights(request, spares);
  if (!weights.ok()) return ToGrpcStatus(weights.error());
  FetchProgress progress;
  const std::lock_guard alone(fetch_mutex_);
  std::future<Status> fetching = std::async(std::launch::async, [&]() -> Status {
    ThreadPool pool(1);
    RETURN_IF_ERROR(weights_->OpenShard(*weights, pool, &progress));
    return OkStatus();
  });
  v1::PrepareProgress message;
  do {
    message.set_fetched_bytes(progress.bytes_done);
    message.set_fetch_total_bytes(progress.bytes_total);
    static_cast<void>(writer.Write(message));
    if (context.IsCancelled() || preparing_ || !CheckAvailable().ok()) weights_->CancelFetch();
  } while (fetching.wait_for(std::chrono::milliseconds(kProgressMs)) != std::future_status::ready);
  return AsGrpc(fetching.get());
}

grpc::Status NodeService::Prepare(grpc::ServerContext* context, const v1::PrepareRequest* request,
                                  grpc::ServerWriter<v1::PrepareProgress>* writer) {
  const Result<ShardRequest> shard = CheckPrepare(*request);
  if (!shard.ok()) return ToGrpcStatus(shard.error());
  const Result<std::vector<ShardRequest>> spares = SparesOf(*request, *shard);
  if (!spares.ok()) return ToGrpcStatus(spares.error());
  const Result<ActivationCodec> codec = ParseActivationCodec(request->activation_codec());
  if (!codec.ok()) return ToGrpcStatus(codec.error());
  if (request->fetch_only()) return FetchAhead(*context, *request, *shard, *spares, *writer);
  const Epoch epoch{request->epoch()};
  const std::lock_guard lock(prepare_mutex_);
  if (const Status here = CheckAvailable(); !here.ok()) return AsGrpc(here);
  if (const Status replaced = Replace(epoch); !replaced.ok()) return AsGrpc(replaced);

  ShardProgress progress;
  preparing_ = true;  // ends a FetchAhead
  std::future<Status> loading = std::async(
      std::launch::async, [&] { return LoadShard(*request, *shard, *spares, progress); });
  v1::PrepareProgress message;
  do {
    message.set_bytes_done(progress.load.bytes_done);
    message.set_bytes_total(progress.load.bytes_total);
    message.set_fetched_bytes(progress.fetch.bytes_done);
    message.set_fetch_total_bytes(progress.fetch.bytes_total);
    static_cast<void>(writer->Write(message));
    if (!context->IsCancelled() && CheckAvailable().ok()) continue;
    progress.load.cancelled = true;
    if (weights_ != nullptr) weights_->CancelFetch();
  } while (loading.wait_for(std::chrono::milliseconds(kProgressMs)) != std::future_status::ready);
  const Status loaded = loading.get();
  preparing_ = false;
  if (const Status here = CheckAvailable(); !here.ok()) return AsGrpc(here);  // why it was given up
  if (!loaded.ok()) return AsGrpc(loaded);
  if (context->IsCancelled()) return {grpc::CANCELLED, "the coordinator gave up"};

  Stage& stage = *shard_host_.stage();
  {
    const std::lock_guard plan_lock(mutex_);
    if (unavailable_) return {grpc::UNAVAILABLE, "this node pauses: " + *unavailable_};
    plan_ = std::make_shared<ActivePlan>(epoch, shard->model_identity, *codec, stage);
  }
  spdlog::info("epoch {}: layers [{}, {}) ready, {} MiB", epoch.value, shard->layers.begin,
               shard->layers.end, stage.memory().weights_bytes >> 20);
  message.set_bytes_done(progress.load.bytes_total);
  message.set_bytes_total(progress.load.bytes_total);
  message.set_fetched_bytes(progress.fetch.bytes_total);
  message.set_fetch_total_bytes(progress.fetch.bytes_total);
  message.set_ready(true);
  message.set_weights_bytes(stage.memory().weights_bytes);
  message.set_weight_bytes_per_token(stage.weight_bytes_per_token());
  static_cast<void>(writer->Write(message));
  return grpc::Status::OK;
}

Result<std::shared_ptr<ActivePlan>> NodeService::Find(Epoch epoch) {
  const std::lock_guard lock(mutex_);
  if (plan_ == nullptr) {
    return FailedPrecondition(fmt::format("epoch {}: this node has no plan", epoch.value));
  }
  if (plan_->epoch() != epoch) {
    return FailedPrecondition(fmt::format("epoch differs: the caller has {}, this node has {}",
                                          epoch.value, plan_->epoch().value));
  }
  return plan_;
}

grpc::Status NodeService::Connect(grpc::ServerContext* context, const v1::ConnectRequest* request,
                                  v1::ConnectReply* /*reply*/) {
  const Result<std::shared_ptr<ActivePlan>> plan = Find(Epoch{request->epoch()});
  if (!plan.ok()) return ToGrpcStatus(plan.error());
  const Result<Address> address = Reach(request->peer_address(), context->peer());
  if (!address.ok()) return ToGrpcStatus(address.error());
  LinkTarget target;
  target.name = request->peer_name();
  target.address = *address;
  target.trust = TrustOf(request->peer_id());
  target.epoch = (*plan)->epoch();
  target.model_identity = (*plan)->model_identity();
  target.layers = {request->peer_layer_begin(), request->peer_layer_end()};
  const Result<ActivationCodec> codec = ParseActivationCodec(request->activation_codec());
  if (!codec.ok()) return ToGrpcStatus(codec.error());
  target.codec = *codec;
  return AsGrpc(request->previous() ? (*plan)->LinkPrevious(target) : (*plan)->LinkNext(target));
}

grpc::Status NodeService::Watch(grpc::ServerContext* context, WatchServerStream* stream) {
  v1::Heartbeat first;
  if (!ReadInTime(*context, *stream, first)) return {grpc::CANCELLED, "no heartbeat came"};
  const Result<std::shared_ptr<ActivePlan>> plan = Find(Epoch{first.epoch()});
  if (!plan.ok()) return ToGrpcStatus(plan.error());
  return AsGrpc((*plan)->ServeWatch(*context, *stream, first.sequence()));
}

grpc::Status NodeService::Link(grpc::ServerContext* context, LinkServerStream* stream) {
  v1::LinkMessage first;
  if (!ReadInTime(*context, *stream, first)) return {grpc::CANCELLED, "no handshake came"};
  if (!first.has_hello()) return {grpc::INVALID_ARGUMENT, "a link begins with a handshake"};
  const Result<std::shared_ptr<ActivePlan>> plan = Find(Epoch{first.hello().epoch()});
  if (!plan.ok()) return ToGrpcStatus(plan.error());
  if (const Status same = (*plan)->Matches(first.hello()); !same.ok()) return AsGrpc(same);
  if (const auto peer = PeerOf(*context->auth_context())) (*plan)->NotePeer(peer->id);
  const Result<ActivationCodec> codec = ParseActivationCodec(first.hello().activation_codec());
  if (!codec.ok()) return ToGrpcStatus(codec.error());
  LinkEnd link(*context, *stream);
  const std::optional<std::string> lane =
      first.hello().wants_lane() ? MakeLanePath() : std::nullopt;
  switch (first.hello().role()) {
    case v1::LINK_ROLE_STEPS: return AsGrpc((*plan)->ServeSteps(link, lane));
    case v1::LINK_ROLE_RESULTS: return AsGrpc((*plan)->ServeResults(link, lane));
    case v1::LINK_ROLE_NEXT: return AsGrpc((*plan)->ServeNext(link, *codec, lane));
    default: return {grpc::INVALID_ARGUMENT, "the link's role is none"};
  }
}

// For peers that reach this node by its Unix socket alone: without TLS, the folder is what keeps
// others out.
std::optional<std::string> NodeService::MakeLanePath() {
  if (!options_.listen.is_unix() || options_.credentials != nullptr) return std::nullopt;
  return fmt::format("{}.{:08x}.{}", options_.listen.unix_path, static_cast<uint32_t>(instance()),
                     ++lanes_);
}

Trust NodeService::TrustOf(const std::string& node_id) const {
  if (node_id.empty()) return {};
  return {options_.credentials, Role::kNode, node_id};
}

void NodeService::EndIfRevoked() {
  const std::shared_ptr<ActivePlan> plan = CurrentPlan();
  if (plan != nullptr) plan->EndIfRevoked(*options_.credentials);
}

void NodeService::Shutdown() {
  const std::lock_guard lock(mutex_);
  if (plan_ != nullptr) plan_->End(std::nullopt);
}

Result<std::unique_ptr<NodeServer>> NodeServer::Start(const NodeOptions& options,
                                                      const kernels::KernelTable& kernels) {
  if (!options.listen.is_unix() && options.credentials == nullptr) {
    return FailedPrecondition(fmt::format(
        "{}: a node on the network needs a certificate of its mesh; join one first, or listen on a "
        "Unix socket",
        options.listen.ToString()));
  }
  if (options.listen.is_unix()) RETURN_IF_ERROR(CheckUnixSocket(options.listen.unix_path));
  std::unique_ptr<NodeServer> node(new NodeServer);
  node->address_ = options.listen;
  if (!options.store_folder.empty()) {
    Result<std::unique_ptr<ChunkStore>> store =
        ChunkStore::Open(options.store_folder, options.store_quota_bytes);
    if (!store.ok() && options.needs_store) return store.error();
    if (store.ok()) {
      node->store_ = std::move(*store);
    } else {
      spdlog::warn("weights that others have cannot be kept here: {}", store.error().message);
    }
  }
  if (node->store_ != nullptr) {
    node->weights_ = std::make_unique<WeightsService>(*node->store_, options.max_upload_bytes_per_s,
                                                      node->clock_);
  }
  node->service_ = std::make_unique<NodeService>(options, kernels, node->weights_.get());
  grpc::ServerBuilder builder;
  int port = 0;
  ConfigureServer(builder, options.listen,
                  options.credentials == nullptr
                      ? nullptr
                      : Credentials::ForServing(options.credentials, kRules),
                  &port);
  grpc::ResourceQuota quota;
  quota.SetMaxThreads(kMaxServerThreads);
  builder.SetResourceQuota(quota);
  builder.RegisterService(static_cast<v1::NodeControl::Service*>(node->service_.get()));
  builder.RegisterService(static_cast<v1::Pipeline::Service*>(node->service_.get()));
  if (node->weights_ != nullptr) builder.RegisterService(node->weights_.get());
  const mode_t old_mask = ::umask(0077);  // a Unix socket is for this user only
  node->server_ = builder.BuildAndStart();
  ::umask(old_mask);
  if (node->server_ == nullptr || (!options.listen.is_unix() && port == 0)) {
    return Unavailable(fmt::format("cannot listen on {}: the address is in use or not ours",
                                   options.listen.ToString()));
  }
  if (!options.listen.is_unix()) node->address_.port = static_cast<uint16_t>(port);
  return node;
}

NodeServer::~NodeServer() {
  if (weights_ != nullptr) weights_->Shutdown();
  if (service_ != nullptr) service_->Shutdown();
  if (server_ != nullptr) {
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(kProgressMs));
  }
}

}  // namespace shoal
