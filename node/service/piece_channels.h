// The connections that pieces of models come in by: streams that this node opened to other nodes,
// and one that the coordinator opened.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/sync_stream.h>

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>

#include "base/result.h"
#include "base/sha256.h"
#include "model/step/step.h"
#include "net/address.h"
#include "net/identity/credentials.h"
#include "node/piece_fetcher.h"
#include "proto/weights.grpc.pb.h"

namespace shoal {

using FetchServerStream = grpc::ServerReaderWriter<v1::PieceReply, v1::PieceWant>;
using SupplyServerStream = grpc::ServerReaderWriter<v1::PieceWant, v1::PieceReply>;

// Another node that may have pieces, or gets them under the same epoch.
struct WeightPeer {
  std::string name;
  Address address;
  uint32_t member = 0;
  LayerRange layers;  // none if empty
  Trust trust;
};

// What both kinds have in common.
class StreamChannel : public PieceChannel {
 public:
  const std::string& name() const override { return name_; }
  Status Ask(std::span<const Sha256Digest> digests) override;
  Result<ReceivedPiece> Receive() override;
  Result<std::string> Unpack(ReceivedPiece piece, int64_t max_bytes) const override;

 protected:
  using Wants = grpc::internal::WriterInterface<v1::PieceWant>;
  using Replies = grpc::internal::ReaderInterface<v1::PieceReply>;

  StreamChannel(std::string name, bool wait) : name_(std::move(name)), wait_(wait) {}
  void Use(Wants* wants, Replies* replies) {
    wants_ = wants;
    replies_ = replies;
  }

 private:
  const std::string name_;
  const bool wait_;  // for pieces that the other side gets itself
  Wants* wants_ = nullptr;
  Replies* replies_ = nullptr;
};

// To another node.
class PeerChannel final : public StreamChannel {
 public:
  // Blocks until it is connected; a node that is not there shows in the calls.
  explicit PeerChannel(const WeightPeer& peer);
  ~PeerChannel() override;

  // Which of `wanted` it has now. Blocks for a few seconds at most.
  Result<std::set<Sha256Digest>> Have(std::span<const Sha256Digest> wanted);
  void Cancel() override { context_.TryCancel(); }

 private:
  std::unique_ptr<v1::Weights::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::PieceWant, v1::PieceReply>> stream_;
};

// To the coordinator, over a stream that it opened.
class SuppliedChannel final : public StreamChannel {
 public:
  SuppliedChannel() : StreamChannel("the coordinator", false) {}
  void Start(grpc::ServerContext* context, SupplyServerStream* stream) {
    context_ = context;
    Use(stream, stream);
  }
  void Cancel() override {
    if (context_ != nullptr) context_->TryCancel();
  }

 private:
  grpc::ServerContext* context_ = nullptr;
};

// Where a coordinator's stream and the Prepare that needs it find each other.
//
// Thread rule: safe from any thread.
class SupplyDesk {
 public:
  // The handler of the stream: blocks until it has been released, or is broken and nobody uses it.
  grpc::Status Serve(grpc::ServerContext& context, SupplyServerStream& stream);

  // Blocks until the stream of `epoch` is there, a few seconds at most (false), and starts
  // `channel` on it. It stays until Release.
  bool Acquire(Epoch epoch, SuppliedChannel& channel);
  void Release(Epoch epoch);
  void Shutdown();

 private:
  struct Waiting {
    grpc::ServerContext* context = nullptr;
    SupplyServerStream* stream = nullptr;
    bool in_use = false;
    bool released = false;
  };

  std::mutex mutex_;  // guards the next two
  std::condition_variable changed_;
  std::map<uint64_t, Waiting> waiting_;  // by epoch
  bool stopping_ = false;
};

}  // namespace shoal
