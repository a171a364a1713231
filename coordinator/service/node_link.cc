#include "coordinator/service/node_link.h"

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <utility>

#include "coordinator/service/profile_message.h"
#include "net/channel.h"
#include "net/deadline_guard.h"
#include "net/unix_socket.h"

namespace shoal {

namespace {

// Weights that come over a slow link take hours; a node whose sources bring nothing says so.
constexpr int kPrepareTimeoutMs = 24 * 60 * 60 * 1000;
// A node ends an older plan first, whose last step may take some seconds; then it says five times a
// second how far it is.
constexpr int kPrepareBeginsMs = 6 * kCallTimeoutMs;
constexpr int kPrepareSilenceMs = 2000;
constexpr uint64_t kMostEpoch = uint64_t{1} << 62;  // microseconds since 1970 have far to go
constexpr int kProfileTimeoutMs = 5 * 60 * 1000;    // seconds, but of a slow or busy device

WatchEnd WhatFailed(const v1::NodeFailure& failure) {
  switch (failure.link()) {
    case v1::NodeFailure::STAGE_BEFORE: return WatchEnd::kLinkBefore;
    case v1::NodeFailure::NEXT_STAGE: return WatchEnd::kLinkNext;
    default: return WatchEnd::kFailed;
  }
}

}  // namespace

NodeLink::NodeLink(const MeshNode& node, const Clock& clock, std::shared_ptr<grpc::Channel> channel)
    : node_(node),
      clock_(clock),
      channel_(channel != nullptr ? std::move(channel) : MakeChannel(node.address, node.trust)),
      stub_(v1::NodeControl::NewStub(channel_)) {}

NodeLink::~NodeLink() {
  Cancel();
  if (watch_thread_.joinable()) watch_thread_.join();
}

std::string NodeLink::label() const {
  if (node_.peer_address) return fmt::format("node {}, which dials in", node_.name);
  const std::string address = node_.address.ToString();
  return node_.name == address ? "node " + address
                               : fmt::format("node {} at {}", node_.name, address);
}

void NodeLink::Cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  if (call_ != nullptr) call_->TryCancel();
  watch_context_.TryCancel();
}

Error NodeLink::Explain(const grpc::Status& status) const {
  return FromGrpcStatus(status, label());
}

std::unique_ptr<grpc::ClientContext> NodeLink::MakeContext(int timeout_ms) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(timeout_ms));
  const std::lock_guard lock(mutex_);
  call_ = context.get();
  if (cancelled_) context->TryCancel();
  return context;
}

// gRPC 1.51 never closes the Unix socket of a channel that goes while it waits for a server's first
// word: a node that is stopped is not even dialled.
bool NodeLink::IsMute(int timeout_ms) const {
  if (!node_.address.is_unix() || node_.trust.own != nullptr) return false;  // TLS waits, too
  const Result<Listener> listener = FindListener(node_.address.unix_path, timeout_ms);
  return listener.ok() && *listener == Listener::kSilent;
}

Result<NodeDescription> NodeLink::Describe(Patience patience) {
  if (IsRevoked()) return Unavailable(label() + " was revoked");
  const auto wait =
      std::chrono::system_clock::now() + std::chrono::milliseconds(patience.connect_ms);
  if (IsMute(patience.connect_ms) || !channel_->WaitForConnected(wait)) {
    return Unavailable(fmt::format("{}: no connection within {} ms; is it running?", label(),
                                   patience.connect_ms));
  }
  const auto context = MakeContext(patience.answer_ms);
  v1::DescribeRequest request;
  request.set_protocol_version(kProtocolVersion);
  request.set_build(BuildId());
  v1::DescribeReply reply;
  const grpc::Status status = stub_->Describe(context.get(), request, &reply);
  {
    const std::lock_guard lock(mutex_);
    call_ = nullptr;
  }
  if (!status.ok()) return Explain(status);
  NodeDescription description;
  description.name = node_.name;
  description.dials_out = node_.dials_out();
  description.isa = reply.isa();
  description.threads = reply.threads();
  description.memory_bytes = reply.memory_bytes();
  description.memory_limited = reply.memory_limited();
  description.weight_bytes_per_s = reply.weight_bytes_per_s();
  description.host_id = reply.host_id();
  description.instance = reply.instance();
  if (reply.highest_epoch() > kMostEpoch) {
    return InvalidArgument(fmt::format("{}: it has seen epoch {}, the limit is {}", label(),
                                       reply.highest_epoch(), kMostEpoch));
  }
  description.highest_epoch = reply.highest_epoch();
  return description;
}

Result<DeviceProfile> NodeLink::Profile(const ProfileTarget& target, bool refresh,
                                        const std::function<void(int32_t, int32_t)>& progress) {
  const auto context = MakeContext(kProfileTimeoutMs);
  v1::ProfileRequest request;
  request.set_protocol_version(kProtocolVersion);
  request.set_build(BuildId());
  request.set_refresh(refresh);
  TargetToMessage(target, request);
  const auto reader = stub_->Profile(context.get(), request);
  v1::ProfileReply reply;
  v1::ProfileMessage profile;
  while (reader->Read(&reply)) {
    progress(reply.done(), reply.total());
    if (reply.has_profile()) profile = reply.profile();
  }
  const grpc::Status status = reader->Finish();
  {
    const std::lock_guard lock(mutex_);
    call_ = nullptr;
  }
  if (!status.ok()) return Explain(status);
  return DeviceFromMessage(node_.name, profile);
}

Result<LinkMeasurement> NodeLink::ProbeLinkTo(const ProbeTarget& target) {
  const auto context = MakeContext(kProbeTimeoutMs + 2 * kCallTimeoutMs);
  v1::ProbeLinkRequest request;
  request.set_address(target.address.ToString());
  request.set_id(target.trust.id);
  request.set_name(target.name);
  request.set_instance(target.instance);
  v1::ProbeLinkReply reply;
  const grpc::Status status = stub_->ProbeLink(context.get(), request, &reply);
  {
    const std::lock_guard lock(mutex_);
    call_ = nullptr;
  }
  if (!status.ok()) return Explain(status);
  const LinkMeasurement link = {reply.round_trip_s(), reply.round_trip_p95_s(),
                                reply.send_bytes_per_s(), reply.receive_bytes_per_s()};
  RETURN_IF_ERROR(CheckMeasurement(link, label()));
  return link;
}

Status NodeLink::Prepare(const ShardOrder& order,
                         const std::function<void(const ShardProgress&)>& progress) {
  std::optional<WeightsSupply> supply;
  if (order.weights.source != nullptr) supply.emplace(channel_, order.epoch, order.weights);
  const auto context = MakeContext(kPrepareTimeoutMs);
  v1::PrepareRequest request;
  request.set_epoch(order.epoch.value);
  request.set_protocol_version(kProtocolVersion);
  request.set_build(BuildId());
  request.set_model_identity(order.model_identity.data(), order.model_identity.size());
  request.set_model_path(order.model_path);
  request.set_layer_begin(order.layers.begin);
  request.set_layer_end(order.layers.end);
  request.set_stage_index(order.stage_index);
  request.set_kv_tokens(order.kv_tokens);
  request.set_kv_type(static_cast<uint32_t>(order.kv_type));
  for (const SpareStage& spare : order.spares) {
    v1::SpareStage* message = request.add_spares();
    message->set_layer_begin(spare.layers.begin);
    message->set_layer_end(spare.layers.end);
    message->set_stage_index(spare.stage_index);
  }
  request.set_supplied(supply.has_value());
  request.set_member(static_cast<uint32_t>(order.member));
  for (const ShardOrder::Peer& from : order.peers) {
    v1::WeightPeer& peer = *request.add_peers();
    peer.set_name(from.node.name);
    peer.set_address(from.node.address.ToString());
    peer.set_id(from.node.trust.id);
    peer.set_member(static_cast<uint32_t>(from.member));
    peer.set_layer_begin(from.layers.begin);
    peer.set_layer_end(from.layers.end);
  }
  request.set_activation_codec(order.codec.ToString());
  request.set_fetch_only(order.fetch_only);
  std::atomic<bool> silent = false;
  DeadlineGuard guard(kPrepareBeginsMs, [&] {
    silent = true;
    context->TryCancel();
  });
  const auto reader = stub_->Prepare(context.get(), request);
  v1::PrepareProgress message;
  bool ready = false;
  while (reader->Read(&message)) {
    guard.Extend(kPrepareSilenceMs);
    progress({message.fetched_bytes(), message.fetch_total_bytes(), message.bytes_done(),
              message.bytes_total()});
    ready = message.ready();
  }
  const grpc::Status status = reader->Finish();
  {
    const std::lock_guard lock(mutex_);
    call_ = nullptr;
  }
  if (silent) return Unavailable(label() + " fell silent while it was to load its layers");
  if (!status.ok()) return Explain(status);
  if (!ready && !order.fetch_only)
    return InternalError(node_.name + ": ended loading without saying that it is ready");
  return OkStatus();
}

Status NodeLink::Connect(const LinkTarget& peer, bool previous) {
  const auto context = MakeContext(2 * kCallTimeoutMs);
  v1::ConnectRequest request;
  request.set_epoch(peer.epoch.value);
  request.set_previous(previous);
  request.set_peer_address(peer.address.ToString());
  request.set_peer_id(peer.trust.id);
  request.set_peer_name(peer.name);
  request.set_peer_layer_begin(peer.layers.begin);
  request.set_peer_layer_end(peer.layers.end);
  request.set_activation_codec(peer.codec.ToString());
  v1::ConnectReply reply;
  const grpc::Status status = stub_->Connect(context.get(), request, &reply);
  {
    const std::lock_guard lock(mutex_);
    call_ = nullptr;
  }
  if (!status.ok()) return Explain(status);
  return OkStatus();
}

Status NodeLink::Watch(Epoch epoch, std::function<void(WatchEnd, Error)> on_end) {
  epoch_ = epoch;
  on_end_ = std::move(on_end);
  const DeadlineGuard guard(kCallTimeoutMs, [this] { watch_context_.TryCancel(); });
  watch_ = stub_->Watch(&watch_context_);
  EndIfRevoked();
  SendHeartbeat();
  v1::NodeEvent event;
  if (!watch_->Read(&event)) return Explain(watch_->Finish());
  last_heard_ns_ = clock_.NowNs();
  watch_thread_ = std::thread([this] { WatchThreadMain(); });
  return OkStatus();
}

bool NodeLink::IsRevoked() const {
  return node_.trust.own != nullptr && node_.trust.own->IsRevoked(node_.trust.id);
}

void NodeLink::EndIfRevoked() {
  if (IsRevoked()) watch_context_.TryCancel();
}

void NodeLink::SendHeartbeat() {
  v1::Heartbeat heartbeat;
  heartbeat.set_epoch(epoch_.value);
  const std::lock_guard lock(mutex_);
  heartbeat.set_sequence(++heartbeat_);
  static_cast<void>(watch_->Write(heartbeat));  // a break shows in the watch thread
}

std::optional<StageProgress> NodeLink::progress_since(int64_t since_ns) const {
  const std::lock_guard lock(mutex_);
  if (progress_at_ns_ <= since_ns) return std::nullopt;
  return progress_;
}

void NodeLink::NoteProgress(const v1::StageProgress& said) {
  const std::lock_guard lock(mutex_);
  progress_at_ns_ = clock_.NowNs();
  progress_ = {said.received(),   said.received_bytes(), said.sent(),
               said.sent_bytes(), said.waiting_ms(),     said.since_send_ms()};
}

void NodeLink::WatchThreadMain() {
  v1::NodeEvent event;
  bool failed = false;
  bool leaves = false;
  while (watch_->Read(&event)) {
    last_heard_ns_ = clock_.NowNs();
    if (event.has_progress()) NoteProgress(event.progress());
    if (event.has_failure() && !std::exchange(failed, true)) {
      on_end_(WhatFailed(event.failure()),
              Unavailable(fmt::format("node {}: {}", node_.name, event.failure().message())));
    }
    if (event.has_leaving() && !std::exchange(leaves, true)) {
      on_end_(WatchEnd::kLeaves,
              Unavailable(fmt::format("{} leaves: {}", label(), event.leaving().reason())));
    }
  }
  const grpc::Status status = watch_->Finish();
  const std::string why = IsRevoked()   ? "it was revoked"
                          : status.ok() ? "it left"
                                        : status.error_message();
  on_end_(WatchEnd::kGone, Unavailable(fmt::format("{} is gone: {}", label(), why)));
}

}  // namespace shoal
