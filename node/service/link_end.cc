#include "node/service/link_end.h"

#include <utility>

#include "net/first_message.h"

namespace shoal {

Status LinkEnd::SayReady(const std::optional<std::string>& lane_path) {
  v1::LinkMessage message;
  v1::LinkReady& ready = *message.mutable_ready();
  Result<LaneListener> lane = lane_path ? LaneListener::Open(*lane_path) : NotFound("none wanted");
  if (lane.ok()) ready.set_lane(lane_path->substr(lane_path->rfind('/') + 1));
  if (!stream_.Write(message)) return Unavailable("the link broke in its handshake");
  if (!lane.ok()) return OkStatus();
  if (!ReadInTime(context_, stream_, message)) {
    return Unavailable("the link broke in its handshake");
  }
  if (!message.has_lane()) return InvalidArgument("the handshake goes on with the lane");
  if (!message.lane().taken()) return OkStatus();
  ASSIGN_OR_RETURN(LocalLane taken, lane->Accept());
  return OpenLane(std::move(taken));
}

Status LinkEnd::OpenLane(LocalLane lane) {
  const std::lock_guard lock(mutex_);
  if (cancelled_) return Cancelled("the plan has ended");
  lane_ = std::move(lane);
  return OkStatus();
}

bool LinkEnd::Send(const v1::LinkMessage& message) {
  return lane_ ? lane_->Send(message).ok() : stream_.Write(message);
}

Result<bool> LinkEnd::Receive(v1::LinkMessage& message) {
  if (!lane_) return stream_.Read(&message);
  const Status came = lane_->Receive(message);
  if (!came.ok() && came.error().code != ErrorCode::kUnavailable) return came.error();
  return came.ok();
}

void LinkEnd::WaitForEnd() {
  v1::LinkMessage message;
  while (stream_.Read(&message)) {
  }
}

void LinkEnd::Cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  context_.TryCancel();
  if (lane_) lane_->Shutdown();
}

}  // namespace shoal
