#include "net/link_client.h"

#include <fmt/format.h>

#include <chrono>

#include "net/channel.h"
#include "net/deadline_guard.h"
#include "net/wire/convert.h"

namespace shoal {

namespace {

constexpr int kEndMs = 500;  // from the end of a lane to that of its stream

}  // namespace

Result<std::unique_ptr<LinkClient>> LinkClient::Dial(const LinkTarget& target, v1::LinkRole role) {
  std::unique_ptr<LinkClient> link(new LinkClient(target));
  RETURN_IF_ERROR(link->Shake(role));
  return link;
}

LinkClient::~LinkClient() {
  Cancel();
  if (stream_ != nullptr) static_cast<void>(stream_->Finish());
}

Status LinkClient::Shake(v1::LinkRole role) {
  RETURN_IF_ERROR(CheckDiallable(target_.address, target_.trust));
  channel_ = MakeChannel(target_.address, target_.trust);
  const auto deadline =
      std::chrono::system_clock::now() + std::chrono::milliseconds(kCallTimeoutMs);
  if (!channel_->WaitForConnected(deadline)) {
    return Unavailable(fmt::format("{} at {}: no connection within {} ms", target_.name,
                                   target_.address.ToString(), kCallTimeoutMs));
  }
  const DeadlineGuard guard(kCallTimeoutMs, [this] { context_.TryCancel(); });
  stub_ = v1::Pipeline::NewStub(channel_);
  stream_ = stub_->Link(&context_);
  v1::LinkHello* hello = out_.mutable_hello();
  hello->set_protocol_version(kProtocolVersion);
  hello->set_build(BuildId());
  hello->set_epoch(target_.epoch.value);
  hello->set_model_identity(target_.model_identity.data(), target_.model_identity.size());
  hello->set_layer_begin(target_.layers.begin);
  hello->set_layer_end(target_.layers.end);
  hello->set_role(role);
  hello->set_activation_codec(target_.codec.ToString());
  hello->set_wants_lane(target_.address.is_unix() && target_.trust.own == nullptr);
  if (!stream_->Write(out_) || !stream_->Read(&in_)) return Broken();
  if (!in_.has_ready()) {
    return FailedPrecondition(target_.name + ": answered the handshake with something else");
  }
  return in_.ready().lane().empty() ? OkStatus() : TakeLane(in_.ready().lane());
}

Status LinkClient::TakeLane(const std::string& name) {
  if (!target_.address.is_unix() || name.find('/') != std::string::npos) {
    return FailedPrecondition(fmt::format("{}: offered a lane at '{}'", target_.name, name));
  }
  const std::string& dialled = target_.address.unix_path;
  Result<LocalLane> lane = LocalLane::Connect(dialled.substr(0, dialled.rfind('/') + 1) + name);
  out_.mutable_lane()->set_taken(lane.ok());
  if (!stream_->Write(out_)) return Broken();
  if (lane.ok()) lane_ = std::move(*lane);
  return OkStatus();
}

void LinkClient::Cancel() {
  context_.TryCancel();
  if (lane_) lane_->Shutdown();
}

Status LinkClient::Send(const Step& step) {
  if (stream_ == nullptr) return Ended();
  StepToMessage(step, *out_.mutable_step(), target_.codec);
  if (lane_) return Explain(lane_->Send(out_));
  return stream_->Write(out_) ? OkStatus() : Status(Broken());
}

Status LinkClient::ReceiveMessage() {
  if (stream_ == nullptr) return Ended();
  if (lane_) return Explain(lane_->Receive(in_));
  return stream_->Read(&in_) ? OkStatus() : Status(Broken());
}

Result<const v1::StepMessage*> LinkClient::ReceiveStep() {
  RETURN_IF_ERROR(ReceiveMessage());
  if (in_.has_step()) return &in_.step();
  return InvalidArgument(target_.name + ": sent something else than a step");
}

Result<StepResult> LinkClient::Receive() {
  RETURN_IF_ERROR(ReceiveMessage());
  if (!in_.has_result())
    return InvalidArgument(target_.name + ": sent something else than a result");
  Result<StepResult> result = ResultFromMessage(in_.result());
  if (!result.ok()) return result.error().WithContext(target_.name);
  return result;
}

Error LinkClient::Ended() const { return Unavailable(target_.name + ": the link has ended"); }

// Why a lane was closed is what the stream ends with.
Status LinkClient::Explain(const Status& of_lane) {
  if (of_lane.ok()) return of_lane;
  if (of_lane.error().code == ErrorCode::kUnavailable) return Broken();
  return of_lane.error().WithContext(target_.name);
}

Error LinkClient::Broken() {
  if (lane_) {  // which is closed a little before the stream ends
    const DeadlineGuard guard(kEndMs, [this] { context_.TryCancel(); });
    while (stream_->Read(&in_)) {
    }
  }
  context_.TryCancel();
  const grpc::Status status = stream_->Finish();
  stream_.reset();
  return FromGrpcStatus(status, target_.name);
}

}  // namespace shoal
