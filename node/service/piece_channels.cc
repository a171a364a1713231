#include "node/service/piece_channels.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>
#include <vector>

#include "net/channel.h"
#include "net/first_message.h"
#include "net/piece_codec.h"
#include "net/piece_supplier.h"

namespace shoal {

namespace {

constexpr size_t kMaxWaiting = 4;  // streams; a coordinator opens one for each Prepare
constexpr auto kPoll = std::chrono::milliseconds(100);

// One that does not answer soon is done without; everyone waits for it meanwhile.
constexpr auto kHaveTimeout = std::chrono::milliseconds(2000);

}  // namespace

Status StreamChannel::Ask(std::span<const Sha256Digest> digests) {
  if (wants_ == nullptr) return Unavailable("it did not connect");
  v1::PieceWant want;
  want.set_wait(wait_);
  for (const Sha256Digest& digest : digests) want.add_hashes(digest.data(), digest.size());
  if (!wants_->Write(want)) return Unavailable("the connection broke");
  return OkStatus();
}

Result<ReceivedPiece> StreamChannel::Receive() {
  v1::PieceReply reply;
  if (!replies_->Read(&reply)) return Unavailable("the connection broke");
  ReceivedPiece piece;
  ASSIGN_OR_RETURN(piece.digest, ReadDigest(reply.hash()));
  piece.missing = reply.missing();
  piece.data = std::move(*reply.mutable_data());
  piece.raw_bytes = reply.raw_bytes();
  return piece;
}

Result<std::string> StreamChannel::Unpack(ReceivedPiece piece, int64_t max_bytes) const {
  if (piece.raw_bytes != 0) return UnpackPiece(piece.data, piece.raw_bytes, max_bytes);
  if (static_cast<int64_t>(piece.data.size()) > max_bytes) {
    return DataLoss(
        fmt::format("a piece of {} bytes, expected at most {}", piece.data.size(), max_bytes));
  }
  return std::move(piece.data);
}

PeerChannel::PeerChannel(const WeightPeer& peer)
    : StreamChannel("node " + peer.name, true),
      stub_(v1::Weights::NewStub(MakeChannel(peer.address, peer.trust))),
      stream_(stub_->Fetch(&context_)) {
  Use(stream_.get(), stream_.get());
}

PeerChannel::~PeerChannel() {
  context_.TryCancel();
  static_cast<void>(stream_->Finish());
}

Result<std::set<Sha256Digest>> PeerChannel::Have(std::span<const Sha256Digest> wanted) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kHaveTimeout);
  v1::HaveRequest request;
  for (const Sha256Digest& digest : wanted) {
    request.mutable_hashes()->append(digest.begin(), digest.end());
  }
  v1::HaveReply reply;
  const grpc::Status status = stub_->Have(&context, request, &reply);
  if (!status.ok()) return FromGrpcStatus(status, name());
  if (reply.have().size() != wanted.size()) {
    return InvalidArgument(fmt::format("{}: asked for {} pieces, it answers for {}", name(),
                                       wanted.size(), reply.have().size()));
  }
  std::set<Sha256Digest> has;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (reply.have()[i] == 1) has.insert(wanted[i]);
  }
  return has;
}

grpc::Status SupplyDesk::Serve(grpc::ServerContext& context, SupplyServerStream& stream) {
  v1::PieceReply first;
  if (!ReadInTime(context, stream, first)) return {grpc::CANCELLED, "no epoch came"};
  const uint64_t epoch = first.epoch();
  std::unique_lock lock(mutex_);
  if (waiting_.contains(epoch) || waiting_.size() >= kMaxWaiting) {
    return {grpc::RESOURCE_EXHAUSTED,
            fmt::format("epoch {} is supplied already, or {} others are", epoch, waiting_.size())};
  }
  Waiting& mine = waiting_[epoch];
  mine.context = &context;
  mine.stream = &stream;
  changed_.notify_all();
  while (!mine.released && (mine.in_use || (!context.IsCancelled() && !stopping_))) {
    changed_.wait_for(lock, kPoll);
  }
  waiting_.erase(epoch);
  return grpc::Status::OK;
}

bool SupplyDesk::Acquire(Epoch epoch, SuppliedChannel& channel) {
  std::unique_lock lock(mutex_);
  const bool came = changed_.wait_for(lock, std::chrono::milliseconds(kCallTimeoutMs),
                                      [&] { return stopping_ || waiting_.contains(epoch.value); });
  if (!came || stopping_) return false;
  Waiting& waiting = waiting_.at(epoch.value);
  waiting.in_use = true;
  channel.Start(waiting.context, waiting.stream);
  return true;
}

void SupplyDesk::Release(Epoch epoch) {
  const std::lock_guard lock(mutex_);
  const auto found = waiting_.find(epoch.value);
  if (found == waiting_.end()) return;
  found->second.released = true;
  changed_.notify_all();
}

void SupplyDesk::Shutdown() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

}  // namespace shoal
