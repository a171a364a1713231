#include "net/link_probe.h"

#include <fmt/format.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "net/channel.h"
#include "net/deadline_guard.h"

namespace shoal {

namespace {

constexpr int kWarmUps = 3;
constexpr int kRoundTrips = 31;
constexpr int kLeastRoundTrips = 5;
constexpr int64_t kRoundTripsNs = 400 * kNsPerMs;  // for all of them
// Between two: what a pipeline's link mostly does is wait.
constexpr auto kPause = std::chrono::milliseconds(2);
// A transfer that takes this long shows the bandwidth, whatever buffers took in at first.
constexpr double kTransferS = 0.06;
// Each direction's rounds double, so that together they take twice the largest.
constexpr int32_t kMostMessages = kProbeBudgetBytes / kProbePayloadBytes / 6;

int64_t CostOf(int64_t payload_bytes) { return payload_bytes + kProbeMessageBytes; }

Status CheckBounds(const char* field, int64_t value, int64_t most) {
  if (value >= 0 && value <= most) return OkStatus();
  return InvalidArgument(fmt::format("{}: {} is outside [0, {}]", field, value, most));
}

Status CheckMessage(const v1::ProbeMessage& message) {
  RETURN_IF_ERROR(CheckBounds("payload bytes", static_cast<int64_t>(message.payload().size()),
                              kProbePayloadBytes));
  RETURN_IF_ERROR(CheckBounds("replies", message.replies(), kMaxProbeReplies));
  return CheckBounds("reply_bytes", message.reply_bytes(), kProbePayloadBytes);
}

// The dialling side of one probe.
class Probe {
 public:
  Probe(const ProbeTarget& target, const Clock& clock)
      : target_(target), clock_(clock), channel_(MakeChannel(target.address, target.trust)) {}

  ~Probe() {
    context_.TryCancel();
    if (stream_ != nullptr) static_cast<void>(stream_->Finish());
  }

  Result<LinkMeasurement> Run() {
    RETURN_IF_ERROR(Open());
    RETURN_IF_ERROR(MeasureRoundTrips());
    const bool spared = budget_bytes_ < kProbeBudgetBytes;
    if (!spared) {
      ASSIGN_OR_RETURN(measured_.send_bytes_per_s,
                       BytesPerS([this](int32_t messages) { return Send(messages); }));
      ASSIGN_OR_RETURN(measured_.receive_bytes_per_s,
                       BytesPerS([this](int32_t messages) { return Receive(messages); }));
    }
    return measured_;
  }

 private:
  Status Open();
  Status Exchange();
  Status MeasureRoundTrips();
  Status Send(int32_t messages);
  Status Receive(int32_t messages);
  // Of transfers of twice as many messages each time, until one takes long enough.
  template <typename Transfer>
  Result<double> BytesPerS(Transfer transfer);
  Status ReadReply();
  Error Broken();
  double SecondsSince(int64_t start_ns) const {
    return static_cast<double>(clock_.NowNs() - start_ns) / static_cast<double>(kNsPerS);
  }

  const ProbeTarget& target_;
  const Clock& clock_;
  std::shared_ptr<grpc::Channel> channel_;  // shared with gRPC's stub
  grpc::ClientContext context_;
  std::unique_ptr<v1::Pipeline::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ProbeMessage, v1::ProbeMessage>> stream_;
  v1::ProbeMessage out_;
  v1::ProbeMessage in_;
  int64_t budget_bytes_ = 0;
  LinkMeasurement measured_;
};

Status Probe::Open() {
  const auto now = std::chrono::system_clock::now();
  if (!channel_->WaitForConnected(now + std::chrono::milliseconds(kCallTimeoutMs))) {
    return Unavailable(fmt::format("{} at {}: no connection within {} ms", target_.name,
                                   target_.address.ToString(), kCallTimeoutMs));
  }
  context_.set_deadline(std::chrono::system_clock::now() +
                        std::chrono::milliseconds(kProbeTimeoutMs));
  stub_ = v1::Pipeline::NewStub(channel_);
  stream_ = stub_->Probe(&context_);
  out_.set_instance(target_.instance);
  RETURN_IF_ERROR(Exchange());
  out_.set_instance(0);
  budget_bytes_ = in_.budget_bytes();
  return OkStatus();
}

Error Probe::Broken() {
  const grpc::Status status = stream_->Finish();
  stream_.reset();
  return FromGrpcStatus(status, target_.name);
}

Status Probe::ReadReply() {
  if (!stream_->Read(&in_)) return Broken();
  if (static_cast<int64_t>(in_.payload().size()) != out_.reply_bytes()) {
    return InvalidArgument(fmt::format("{}: answered a probe with {} bytes instead of {}",
                                       target_.name, in_.payload().size(), out_.reply_bytes()));
  }
  return OkStatus();
}

// A small message there and back.
Status Probe::Exchange() {
  out_.clear_payload();
  out_.set_replies(1);
  out_.set_reply_bytes(0);
  if (!stream_->Write(out_)) return Broken();
  return ReadReply();
}

Status Probe::MeasureRoundTrips() {
  for (int i = 0; i < kWarmUps; ++i) RETURN_IF_ERROR(Exchange());
  std::vector<double> times;
  const int64_t start_ns = clock_.NowNs();
  for (int i = 0; i < kRoundTrips; ++i) {
    if (i >= kLeastRoundTrips && clock_.NowNs() - start_ns > kRoundTripsNs) break;
    std::this_thread::sleep_for(kPause);
    const int64_t sent_ns = clock_.NowNs();
    RETURN_IF_ERROR(Exchange());
    times.push_back(SecondsSince(sent_ns));
  }
  std::sort(times.begin(), times.end());
  measured_.round_trip_s = times[times.size() / 2];
  measured_.round_trip_p95_s = times[times.size() * 95 / 100];
  return OkStatus();
}

// The last message is answered: by then all have arrived.
Status Probe::Send(int32_t messages) {
  out_.mutable_payload()->assign(kProbePayloadBytes, '\0');
  out_.set_reply_bytes(0);
  for (int32_t i = 0; i < messages; ++i) {
    out_.set_replies(i + 1 == messages ? 1 : 0);
    if (!stream_->Write(out_)) return Broken();
  }
  return ReadReply();
}

Status Probe::Receive(int32_t messages) {
  out_.clear_payload();
  out_.set_replies(messages);
  out_.set_reply_bytes(kProbePayloadBytes);
  if (!stream_->Write(out_)) return Broken();
  for (int32_t i = 0; i < messages; ++i) RETURN_IF_ERROR(ReadReply());
  return OkStatus();
}

template <typename Transfer>
Result<double> Probe::BytesPerS(Transfer transfer) {
  // What is left when the round trip is taken off is the transfer; where that is next to nothing,
  // the link is too fast for this clock.
  constexpr double kLeastShare = 0.1;
  double bytes_per_s = 0;
  double spent_s = 0;
  for (int32_t messages = 1; messages <= kMostMessages && spent_s < kTransferS; messages *= 2) {
    const int64_t start_ns = clock_.NowNs();
    RETURN_IF_ERROR(transfer(messages));
    const double whole_s = SecondsSince(start_ns);
    spent_s = std::max(whole_s - measured_.round_trip_s, kLeastShare * whole_s);
    bytes_per_s = static_cast<double>(messages) * kProbePayloadBytes / spent_s;
  }
  return bytes_per_s;
}

}  // namespace

Result<LinkMeasurement> ProbeLink(const ProbeTarget& target, const Clock& clock) {
  RETURN_IF_ERROR(CheckDiallable(target.address, target.trust));
  return Probe(target, clock).Run();
}

grpc::Status ProbeServer::Serve(grpc::ServerContext& context, ProbeServerStream& stream,
                                int64_t budget_bytes) {
  const std::unique_lock turn(turn_, std::chrono::milliseconds(kProbeTurnMs));
  if (!turn) return {grpc::RESOURCE_EXHAUSTED, "this node is being probed already"};
  const DeadlineGuard guard(kProbeTimeoutMs, [&] { context.TryCancel(); });
  v1::ProbeMessage message;
  v1::ProbeMessage reply;
  reply.set_budget_bytes(budget_bytes);
  for (bool first = true; stream.Read(&message); first = false) {
    if (first && message.instance() != instance_) {
      return {grpc::FAILED_PRECONDITION, "this is not the node that was meant"};
    }
    if (const Status checked = CheckMessage(message); !checked.ok()) {
      return ToGrpcStatus(checked.error());
    }
    budget_bytes -= CostOf(static_cast<int64_t>(message.payload().size())) +
                    message.replies() * CostOf(message.reply_bytes());
    if (budget_bytes < 0) {
      return {grpc::RESOURCE_EXHAUSTED, fmt::format("the probe wants more than the {} bytes that "
                                                    "it was granted",
                                                    reply.budget_bytes())};
    }
    reply.mutable_payload()->assign(static_cast<size_t>(message.reply_bytes()), '\0');
    for (int32_t i = 0; i < message.replies(); ++i) {
      if (!stream.Write(reply)) return grpc::Status::OK;
    }
  }
  return grpc::Status::OK;
}

}  // namespace shoal
