// Brings pieces of a model into the chunk store from several sources at once: asks by a
// FetchSchedule, checks hashes on several threads while more comes in, and keeps what it has got
// when a source, or everything, fails.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/sha256.h"
#include "model/gguf/chunk_store.h"
#include "node/fetch_schedule.h"

namespace shoal {

// What a source sent; not checked yet.
struct ReceivedPiece {
  Sha256Digest digest{};
  bool missing = false;
  std::string data;
  int64_t raw_bytes = 0;  // 0: `data` is the piece; else it is packed
};

// The connection to one source.
//
// Thread rule: one thread at a time, except Cancel and Unpack (any thread).
class PieceChannel {
 public:
  virtual ~PieceChannel() = default;
  virtual const std::string& name() const = 0;  // for messages
  virtual Status Ask(std::span<const Sha256Digest> digests) = 0;
  // Blocks until an answer comes.
  virtual Result<ReceivedPiece> Receive() = 0;
  // The piece itself. Errors: damaged, or longer than `max_bytes`.
  virtual Result<std::string> Unpack(ReceivedPiece piece, int64_t max_bytes) const = 0;
  // Makes blocked calls, and all later ones, fail soon.
  virtual void Cancel() = 0;
};

struct FetchProgress {
  std::atomic<int64_t> bytes_done{0};
  std::atomic<int64_t> first_source_bytes{0};  // of bytes_done, those that source 0 brought
  std::atomic<int64_t> bytes_total{0};
};

class PieceFetcher {
 public:
  // Everything that is passed outlives the fetcher. `sources` are those of FetchItem::source.
  PieceFetcher(ChunkStore& store, std::vector<PieceChannel*> sources, const Clock& clock,
               int checkers);
  ~PieceFetcher();

  // Blocks until every item is in the store. May be called again: a source that failed stays out.
  // Errors: kUnavailable, naming the sources and why each failed, when no source is left for an
  // item; the store's own; kCancelled. What came until then is kept.
  Status Fetch(std::vector<FetchItem> items, FetchProgress* progress);
  // Ends Fetch. Any thread.
  void Cancel();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace shoal
