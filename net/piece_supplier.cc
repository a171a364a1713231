#include "net/piece_supplier.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "net/piece_codec.h"

namespace shoal {

namespace {

constexpr int64_t kBurstBytes = 4 << 20;
constexpr size_t kSampleBytes = 64 << 10;  // of a piece, packed to see whether it pays
constexpr auto kStopMs = std::chrono::milliseconds(50);

double SecondsSince(const Clock& clock, int64_t start_ns) {
  return static_cast<double>(std::max<int64_t>(1, clock.NowNs() - start_ns)) / kNsPerS;
}

}  // namespace

UploadLimit::UploadLimit(int64_t bytes_per_s) {
  if (bytes_per_s > 0) bucket_.emplace(bytes_per_s, kBurstBytes);
}

bool UploadLimit::Wait(int64_t bytes, const std::function<bool()>& stop) {
  std::chrono::nanoseconds left{0};
  {
    const std::lock_guard lock(mutex_);
    if (bucket_) left = std::chrono::nanoseconds(bucket_->Take(bytes, clock_.NowNs()));
  }
  while (left.count() > 0 && !stop()) {
    const auto part = std::min<std::chrono::nanoseconds>(left, kStopMs);
    std::this_thread::sleep_for(part);
    left -= part;
  }
  return !stop();
}

Result<Sha256Digest> ReadDigest(std::string_view bytes) {
  Sha256Digest digest{};
  if (bytes.size() != digest.size()) {
    return InvalidArgument(
        fmt::format("a hash of {} bytes, expected {}", bytes.size(), digest.size()));
  }
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return digest;
}

Status PieceSupplier::Serve(Wants& wants, Replies& replies,
                            const std::function<bool(const Sha256Digest&)>& wait,
                            const std::function<bool()>& stop) {
  v1::PieceWant want;
  while (!stop() && wants.Read(&want)) {
    if (want.hashes_size() > kMaxWants) {
      return InvalidArgument(
          fmt::format("{} pieces wanted at once, at most {}", want.hashes_size(), kMaxWants));
    }
    for (const std::string& hash : want.hashes()) {
      ASSIGN_OR_RETURN(const Sha256Digest digest, ReadDigest(hash));
      if (want.wait()) wait(digest);
      if (!Send(digest, replies, stop)) return OkStatus();
    }
  }
  return OkStatus();
}

bool PieceSupplier::Send(const Sha256Digest& digest, Replies& replies,
                         const std::function<bool()>& stop) {
  v1::PieceReply reply;
  reply.set_hash(digest.data(), digest.size());
  const Content content = source_.Find(digest);
  if (content.owner == nullptr) {
    reply.set_missing(true);
    return replies.Write(reply);
  }
  Fill(content.bytes, reply);
  if (!limit_.Wait(static_cast<int64_t>(reply.data().size()), stop)) return false;
  const int64_t start_ns = clock_.NowNs();
  const bool sent = replies.Write(reply);
  sent_bytes_ += static_cast<double>(reply.data().size());
  sent_s_ += SecondsSince(clock_, start_ns);
  return sent;
}

void PieceSupplier::Fill(std::span<const std::byte> bytes, v1::PieceReply& reply) {
  if (TryPacking(bytes)) {
    if (std::optional<std::string> packed = PackPiece(bytes)) {
      reply.set_data(std::move(*packed));
      reply.set_raw_bytes(static_cast<int64_t>(bytes.size()));
      return;
    }
  }
  reply.set_data(bytes.data(), bytes.size());
}

// By a sample from the middle of the piece and by how fast the link was so far.
bool PieceSupplier::TryPacking(std::span<const std::byte> bytes) {
  if (bytes.size() < kSampleBytes || sent_s_ <= 0) return false;
  const std::span<const std::byte> sample = bytes.subspan(bytes.size() / 2, kSampleBytes / 2);
  const int64_t start_ns = clock_.NowNs();
  const std::optional<std::string> packed = PackPiece(sample);
  const double pack_bytes_per_s =
      static_cast<double>(sample.size()) / SecondsSince(clock_, start_ns);
  return packed && PackingPays(static_cast<double>(packed->size()) / sample.size(),
                               pack_bytes_per_s, sent_bytes_ / sent_s_);
}

}  // namespace shoal
