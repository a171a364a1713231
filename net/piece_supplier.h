// The sending side of proto/weights.proto, the same for a coordinator and a node: reads wants,
// sends pieces, packed where that pays and at most so fast as the process may send.
#pragma once

#include <grpcpp/support/sync_stream.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>

#include "base/clock.h"
#include "base/content_source.h"
#include "base/result.h"
#include "base/token_bucket.h"
#include "proto/weights.pb.h"

namespace shoal {

constexpr int kMaxWants = 1024;  // in one message

// How fast a process may send weights, over all links together.
//
// Thread rule: safe from any thread.
class UploadLimit {
 public:
  explicit UploadLimit(int64_t bytes_per_s);  // 0: unlimited
  // Blocks until `bytes` may be sent; false: `stop` said so.
  bool Wait(int64_t bytes, const std::function<bool()>& stop);

 private:
  const SteadyClock clock_;
  std::mutex mutex_;  // guards bucket_
  std::optional<TokenBucket> bucket_;
};

// Serves one stream.
//
// Thread rule: belongs to the thread that calls Serve.
class PieceSupplier {
 public:
  using Wants = grpc::internal::ReaderInterface<v1::PieceWant>;
  using Replies = grpc::internal::WriterInterface<v1::PieceReply>;

  // Both outlive the supplier.
  PieceSupplier(ContentSource& source, UploadLimit& limit) : source_(source), limit_(limit) {}

  // Until the other side ends the stream, or `stop` returns true, which it is asked now and then.
  // `wait(digest)` blocks for a piece that is wanted with `wait` and returns whether it is there.
  // Errors: wants that break the rules of the protocol.
  Status Serve(Wants& wants, Replies& replies, const std::function<bool(const Sha256Digest&)>& wait,
               const std::function<bool()>& stop);

 private:
  bool Send(const Sha256Digest& digest, Replies& replies, const std::function<bool()>& stop);
  void Fill(std::span<const std::byte> bytes, v1::PieceReply& reply);
  bool TryPacking(std::span<const std::byte> bytes);

  ContentSource& source_;
  UploadLimit& limit_;
  const SteadyClock clock_;
  double sent_bytes_ = 0;  // so far, and the time that sending took
  double sent_s_ = 0;
};

// The digest in a message's field. Errors: another length than 32 bytes.
Result<Sha256Digest> ReadDigest(std::string_view bytes);

}  // namespace shoal
