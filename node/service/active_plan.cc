#include "node/service/active_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "net/channel.h"
#include "net/wire/convert.h"

namespace shoal {

namespace {

// Rows of logits are sent in messages of about this size, whatever the vocabulary.
constexpr size_t kLogitsMessageBytes = 4 << 20;

constexpr int kEchoMs = 500;

int64_t SteadyNowNs() { return SteadyClock().NowNs(); }

uint64_t BytesOf(const Step& step) { return step.activations.size() * sizeof(float); }

template <typename T>
Status MustEqual(const char* what, const T& theirs, const T& ours) {
  if (theirs == ours) return OkStatus();
  return FailedPrecondition(fmt::format(
      "handshake: {} differs: the caller has {}, this node has {}", what, theirs, ours));
}

}  // namespace

ActivePlan::ActivePlan(Epoch epoch, const Sha256Digest& model_identity, ActivationCodec codec,
                       Stage& stage)
    : epoch_(epoch),
      model_identity_(model_identity),
      codec_(codec),
      range_(stage.options().range),
      last_(stage.is_last()),
      width_(stage.is_first() ? 0 : stage.config().model_dim),
      stage_(stage) {}

Status ActivePlan::Matches(const v1::LinkHello& hello) const {
  RETURN_IF_ERROR(MustEqual("protocol version", hello.protocol_version(), kProtocolVersion));
  RETURN_IF_ERROR(MustEqual("build", hello.build(), BuildId()));
  RETURN_IF_ERROR(MustEqual("epoch", hello.epoch(), epoch_.value));
  const std::string identity(model_identity_.begin(), model_identity_.end());
  if (hello.model_identity() != identity) {
    return FailedPrecondition(
        fmt::format("handshake: the caller's model is not {}", ToHex(model_identity_)));
  }
  if (hello.role() != v1::LINK_ROLE_NEXT) {
    RETURN_IF_ERROR(MustEqual("wire codec", hello.activation_codec(), codec_.ToString()));
  }
  RETURN_IF_ERROR(MustEqual("first layer", hello.layer_begin(), range_.begin));
  return MustEqual("end of layers", hello.layer_end(), range_.end);
}

Status ActivePlan::LinkNext(const LinkTarget& target) {
  if (last_) return FailedPrecondition("the last stage has no next one");
  ASSIGN_OR_RETURN(std::unique_ptr<LinkClient> link, LinkClient::Dial(target, v1::LINK_ROLE_STEPS));
  const std::lock_guard lock(mutex_);
  if (ended_) return FailedPrecondition("the plan has ended");
  if (next_ != nullptr) return FailedPrecondition("linked to the next stage already");
  next_ = std::move(link);
  if (!target.trust.id.empty()) peers_.insert(target.trust.id);
  return OkStatus();
}

// What ends the link is told by the end of the plan that follows; only nonsense is this one's find.
Status ActivePlan::LinkPrevious(const LinkTarget& target) {
  if (width_ == 0) return FailedPrecondition("the first stage has none before it");
  ASSIGN_OR_RETURN(std::unique_ptr<LinkClient> link, LinkClient::Dial(target, v1::LINK_ROLE_NEXT));
  const StepSource source = [&link = *link]() -> Result<const v1::StepMessage*> {
    Result<const v1::StepMessage*> step = link.ReceiveStep();
    if (step.ok() || step.error().code == ErrorCode::kInvalidArgument) return step;
    return nullptr;
  };
  const std::lock_guard lock(mutex_);
  if (ended_) return FailedPrecondition("the plan has ended");
  if (std::exchange(has_steps_link_, true)) {
    return FailedPrecondition("the stage has a link for steps already");
  }
  previous_ = std::move(link);
  if (!target.trust.id.empty()) peers_.insert(target.trust.id);
  steps_thread_ = std::thread([this, source] { EndAfter(RunSteps(source)); });
  return OkStatus();
}

ActivePlan::~ActivePlan() {
  if (!steps_thread_.joinable()) return;
  previous_->Cancel();
  steps_thread_.join();
}

void ActivePlan::NotePeer(const std::string& id) {
  const std::lock_guard lock(mutex_);
  peers_.insert(id);
}

void ActivePlan::EndIfRevoked(const Credentials& credentials) {
  std::string revoked;
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(peers_.begin(), peers_.end(), [&](const std::string& id) {
      return credentials.IsRevoked(id);
    });
    if (found == peers_.end()) return;
    revoked = *found;
  }
  End(FailedPrecondition(fmt::format("member {} of the plan was revoked", revoked)));
}

bool ActivePlan::Enter(LinkEnd& link) {
  const std::lock_guard lock(mutex_);
  if (ended_) return false;
  links_.push_back(&link);
  return true;
}

void ActivePlan::Leave(LinkEnd& link) {
  const std::lock_guard lock(mutex_);
  links_.erase(std::find(links_.begin(), links_.end(), &link));
}

Status ActivePlan::ServeSteps(LinkEnd& link, const std::optional<std::string>& lane_path) {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(has_steps_link_, true)) {
      return FailedPrecondition("the stage has a link for steps already");
    }
  }
  if (!Enter(link)) return FailedPrecondition("the plan has ended");
  Status status = link.SayReady(lane_path);
  v1::LinkMessage message;
  const auto source = [&]() -> Result<const v1::StepMessage*> {
    ASSIGN_OR_RETURN(const bool came, link.Receive(message));
    if (!came) return nullptr;
    if (message.has_step()) return &message.step();
    return InvalidArgument("the link sent something else than a step");
  };
  if (status.ok()) status = RunSteps(source);
  Leave(link);
  EndAfter(status);
  return status;
}

void ActivePlan::EndAfter(const Status& steps) {
  const bool from_node = width_ != 0;
  if (steps.ok() && from_node && !EndsSoon()) {
    End(Unavailable("the link from the stage before is gone"), v1::NodeFailure::STAGE_BEFORE);
  }
  if (!steps.ok()) End(steps.error());
}

// Links are cut when a plan is taken down, which each node hears of in its own time.
bool ActivePlan::EndsSoon() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::milliseconds(kEchoMs), [this] { return ended_; });
}

Status ActivePlan::RunSteps(const StepSource& next_step) {
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      waiting_since_ns_ = SteadyNowNs();
    }
    ASSIGN_OR_RETURN(const v1::StepMessage* step, next_step());
    if (step == nullptr) return OkStatus();
    RETURN_IF_ERROR(RunStep(*step));
  }
}

Status ActivePlan::RunStep(const v1::StepMessage& message) {
  ASSIGN_OR_RETURN(Step step, StepFromMessage(message, width_, codec_));
  if (step.epoch != epoch_) {
    return FailedPrecondition(
        fmt::format("a step of epoch {}, the plan is {}", step.epoch.value, epoch_.value));
  }
  NoteReceived(step);
  StepResult result;
  RETURN_IF_ERROR(Compute(step, result));
  if (last_) return SendResult(std::move(result));
  NoteSending(step);
  Status sent = SendOn(step);
  if (!sent.ok()) End(sent.error(), v1::NodeFailure::NEXT_STAGE);
  return sent;
}

void ActivePlan::NoteReceived(const Step& step) {
  const std::lock_guard lock(mutex_);
  waiting_since_ns_ = 0;
  progress_.set_received(progress_.received() + 1);
  progress_.set_received_bytes(progress_.received_bytes() + BytesOf(step));
}

void ActivePlan::NoteSending(const Step& step) {
  const std::lock_guard lock(mutex_);
  sending_since_ns_ = SteadyNowNs();
  progress_.set_sent(progress_.sent() + 1);
  progress_.set_sent_bytes(progress_.sent_bytes() + BytesOf(step));
}

v1::StageProgress ActivePlan::Progress() {
  const std::lock_guard lock(mutex_);
  const int64_t now_ns = SteadyNowNs();  // after whatever it is compared with
  const auto ms_since = [&](int64_t since_ns) -> uint64_t {
    return since_ns == 0 ? 0 : static_cast<uint64_t>((now_ns - since_ns) / kNsPerMs);
  };
  v1::StageProgress progress = progress_;
  progress.set_waiting_ms(ms_since(waiting_since_ns_));
  progress.set_since_send_ms(ms_since(sending_since_ns_));
  return progress;
}

Status ActivePlan::SendOn(const Step& step) {
  LinkClient* next = nullptr;
  {
    const std::lock_guard lock(mutex_);
    next = next_.get();
  }
  if (next != nullptr) return next->Send(step);
  const std::lock_guard lock(taker_mutex_);
  if (taker_ == nullptr) return FailedPrecondition("a step came without a link to the next stage");
  StepToMessage(step, *taken_.mutable_step(), taker_codec_);
  return taker_->Send(taken_) ? OkStatus() : Unavailable("the link to the next stage is gone");
}

Status ActivePlan::Compute(Step& step, StepResult& result) {
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return FailedPrecondition("the plan has ended");
    computing_ = true;
  }
  Status ran = stage_.Run(step, result, SteadyNowNs);
  const std::lock_guard lock(mutex_);
  computing_ = false;
  changed_.notify_all();
  return ran;
}

Status ActivePlan::SendResult(StepResult result) {
  std::vector<LogitsRow> rows = std::exchange(result.logits, {});
  const std::lock_guard lock(taker_mutex_);
  if (taker_ == nullptr) {
    return FailedPrecondition("a step came before the coordinator's link for results");
  }
  size_t sent = 0;
  do {
    StepResult part;
    part.epoch = result.epoch;
    part.id = result.id;
    for (size_t bytes = 0; sent < rows.size() && bytes < kLogitsMessageBytes; ++sent) {
      bytes += rows[sent].logits.size() * sizeof(float);
      part.logits.push_back(std::move(rows[sent]));
    }
    part.last = sent == rows.size();
    if (part.last) {
      part.tokens = std::move(result.tokens);
      part.timings = std::move(result.timings);
    }
    ResultToMessage(part, *taken_.mutable_result());
    if (!taker_->Send(taken_)) return Unavailable("the coordinator's link for results is gone");
  } while (sent < rows.size());
  return OkStatus();
}

Status ActivePlan::ServeResults(LinkEnd& link, const std::optional<std::string>& lane_path) {
  if (!last_) return FailedPrecondition("only the last stage has results");
  return ServeTaker(link, {}, lane_path);
}

Status ActivePlan::ServeNext(LinkEnd& link, ActivationCodec codec,
                             const std::optional<std::string>& lane_path) {
  if (last_) return FailedPrecondition("the last stage has no next one");
  if (HasDialledNext()) return FailedPrecondition("linked to the next stage already");
  RETURN_IF_ERROR(ServeTaker(link, codec, lane_path));
  if (!EndsSoon() && !HasDialledNext()) {
    End(Unavailable("the link to the next stage is gone"), v1::NodeFailure::NEXT_STAGE);
  }
  return OkStatus();
}

bool ActivePlan::HasDialledNext() {
  const std::lock_guard lock(mutex_);
  return next_ != nullptr;
}

Status ActivePlan::ServeTaker(LinkEnd& link, ActivationCodec codec,
                              const std::optional<std::string>& lane_path) {
  if (!Enter(link)) return FailedPrecondition("the plan has ended");
  const Status served = LetTake(link, codec, lane_path);
  if (served.ok()) {
    link.WaitForEnd();
    const std::lock_guard lock(taker_mutex_);
    taker_ = nullptr;
  }
  Leave(link);
  return served;
}

Status ActivePlan::LetTake(LinkEnd& link, ActivationCodec codec,
                           const std::optional<std::string>& lane_path) {
  const std::lock_guard lock(taker_mutex_);
  if (taker_ != nullptr) return FailedPrecondition("the stage has such a link already");
  RETURN_IF_ERROR(link.SayReady(lane_path));
  taker_ = &link;
  taker_codec_ = codec;
  return OkStatus();
}

Status ActivePlan::ServeWatch(grpc::ServerContext& context, WatchServerStream& stream,
                              uint64_t first_heartbeat) {
  {
    const std::lock_guard lock(watch_mutex_);
    if (watch_ != nullptr) return FailedPrecondition("the plan is watched already");
    watch_ = &stream;
    watch_context_ = &context;
  }
  v1::Heartbeat heartbeat;
  v1::NodeEvent event;
  heartbeat.set_sequence(first_heartbeat);
  bool alive = true;
  do {
    event.set_heartbeat(heartbeat.sequence());
    *event.mutable_progress() = Progress();
    const std::lock_guard lock(watch_mutex_);
    alive = stream.Write(event);
  } while (alive && stream.Read(&heartbeat));
  {
    const std::lock_guard lock(watch_mutex_);
    watch_ = nullptr;
    watch_context_ = nullptr;
    unwatched_.notify_all();
  }
  End(std::nullopt);
  return OkStatus();
}

void ActivePlan::End(const std::optional<Error>& reason, v1::NodeFailure::Link link) {
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    ended_ = true;
    changed_.notify_all();
  }
  {
    // Told of a failure, the coordinator closes the stream; cancelling it could lose the message.
    const std::lock_guard lock(watch_mutex_);
    if (reason) spdlog::warn("epoch {} ends: {}", epoch_.value, reason->message);
    if (watch_ != nullptr && reason) {
      v1::NodeEvent event;
      event.mutable_failure()->set_message(reason->message);
      event.mutable_failure()->set_link(link);
      static_cast<void>(watch_->Write(event));
    } else if (watch_ != nullptr) {
      watch_context_->TryCancel();
    }
  }
  const std::lock_guard lock(mutex_);
  if (next_ != nullptr) next_->Cancel();
  if (previous_ != nullptr) previous_->Cancel();
  for (LinkEnd* one : links_) one->Cancel();
}

bool ActivePlan::ended() {
  const std::lock_guard lock(mutex_);
  return ended_;
}

void ActivePlan::SayLeaving(const std::string& reason) {
  const std::lock_guard lock(watch_mutex_);
  if (watch_ == nullptr) return;
  v1::NodeEvent event;
  event.mutable_leaving()->set_reason(reason);
  static_cast<void>(watch_->Write(event));
}

bool ActivePlan::WaitUnwatched(int timeout_ms) {
  std::unique_lock lock(watch_mutex_);
  return unwatched_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                             [this] { return watch_ == nullptr; });
}

bool ActivePlan::WaitIdle() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::milliseconds(kCallTimeoutMs),
                           [this] { return !computing_; });
}

}  // namespace shoal
