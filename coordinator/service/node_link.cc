#include "coordinator/service/node_link.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "coordinator/service/profile_message.h"
#include "net/channel.h"
#include "net/deadline_guard.h"

namespace shoal {

namespace {

// Loading is bounded by the disk, so it gets long; a dead node is noticed by keep-alive well
// before.
constexpr int kPrepareTimeoutMs = 30 * 60 * 1000;
constexpr int kProfileTimeoutMs = 5 * 60 * 1000;  // seconds, but of a slow or busy device

}  // namespace

NodeLink::NodeLink(const MeshNode& node, const Clock& clock)
    : node_(node),
      clock_(clock),
      channel_(MakeChannel(node.address)),
      stub_(v1::NodeControl::NewStub(channel_)) {}

NodeLink::~NodeLink() {
  Cancel();
  if (watch_thread_.joinable()) watch_thread_.join();
}

std::string NodeLink::label() const {
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

Result<NodeDescription> NodeLink::Describe(Patience patience) {
  const auto wait =
      std::chrono::system_clock::now() + std::chrono::milliseconds(patience.connect_ms);
  if (!channel_->WaitForConnected(wait)) {
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
  description.isa = reply.isa();
  description.threads = reply.threads();
  description.memory_bytes = reply.memory_bytes();
  description.memory_limited = reply.memory_limited();
  description.weight_bytes_per_s = reply.weight_bytes_per_s();
  description.host_id = reply.host_id();
  description.instance = reply.instance();
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
  request.set_name(target.name);
  request.set_instance(target.instance);
  request.set_round_trip_only(target.round_trip_only);
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
                         const std::function<void(int64_t, int64_t)>& progress) {
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
  request.set_activation_codec(order.codec.ToString());
  const auto reader = stub_->Prepare(context.get(), request);
  v1::PrepareProgress message;
  bool ready = false;
  while (reader->Read(&message)) {
    progress(message.bytes_done(), message.bytes_total());
    ready = message.ready();
  }
  const grpc::Status status = reader->Finish();
  {
    const std::lock_guard lock(mutex_);
    call_ = nullptr;
  }
  if (!status.ok()) return Explain(status);
  if (!ready) return InternalError(node_.name + ": ended loading without saying that it is ready");
  return OkStatus();
}

Status NodeLink::ConnectTo(const LinkTarget& next) {
  const auto context = MakeContext(2 * kCallTimeoutMs);
  v1::ConnectRequest request;
  request.set_epoch(next.epoch.value);
  request.set_next_address(next.address.ToString());
  request.set_next_name(next.name);
  request.set_next_layer_begin(next.layers.begin);
  request.set_next_layer_end(next.layers.end);
  request.set_activation_codec(next.codec.ToString());
  v1::ConnectReply reply;
  const grpc::Status status = stub_->Connect(context.get(), request, &reply);
  {
    const std::lock_guard lock(mutex_);
    call_ = nullptr;
  }
  if (!status.ok()) return Explain(status);
  return OkStatus();
}

Status NodeLink::Watch(Epoch epoch, std::function<void(Error, bool)> on_gone) {
  epoch_ = epoch;
  on_gone_ = std::move(on_gone);
  const DeadlineGuard guard(kCallTimeoutMs, [this] { watch_context_.TryCancel(); });
  watch_ = stub_->Watch(&watch_context_);
  SendHeartbeat();
  v1::NodeEvent event;
  if (!watch_->Read(&event)) return Explain(watch_->Finish());
  last_heard_ns_ = clock_.NowNs();
  watch_thread_ = std::thread([this] { WatchThreadMain(); });
  return OkStatus();
}

void NodeLink::SendHeartbeat() {
  v1::Heartbeat heartbeat;
  heartbeat.set_epoch(epoch_.value);
  const std::lock_guard lock(mutex_);
  heartbeat.set_sequence(++heartbeat_);
  static_cast<void>(watch_->Write(heartbeat));  // a break shows in the watch thread
}

void NodeLink::WatchThreadMain() {
  v1::NodeEvent event;
  bool told = false;
  while (watch_->Read(&event)) {
    last_heard_ns_ = clock_.NowNs();
    if (event.has_failure() && !told) {
      told = true;
      on_gone_(Unavailable(fmt::format("node {}: {}", node_.name, event.failure().message())),
               false);
    }
  }
  const grpc::Status status = watch_->Finish();
  on_gone_(Unavailable(fmt::format("{} is gone: {}", label(),
                                   status.ok() ? "it left" : status.error_message())),
           true);
}

}  // namespace shoal
