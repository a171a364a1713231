// Chunks of models in a folder, each in a file named by its SHA-256 (FOLDER/ab/ab12...), so that a
// name can never lead elsewhere and a chunk that several models share is kept once. Holds at most a
// quota of bytes: the chunks that were not used for longest make room, but never pinned ones.
//
// A chunk that stood on the disk when the store was opened is hashed once before it is used;
// one that is damaged is removed, as if it had never been there. So nothing is flushed to the
// disk: what a power failure leaves behind is found out at the next start. What stands in the place
// of a chunk, or of the folder of chunks, and is none makes room for it.
//
// Several processes may share a folder; each counts what it has seen, so together they may pass the
// quota for a while, and a chunk that another one evicted is missing when it is next asked for.
//
// Thread rule: safe from any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/content_source.h"
#include "base/mapped_file.h"
#include "base/result.h"
#include "base/sha256.h"
#include "base/thread_pool.h"
#include "model/gguf/manifest.h"

namespace shoal {

class ChunkStore final : public ContentSource {
 public:
  // Makes the folder if it is missing. Errors: it cannot be made or read. A folder in it that
  // cannot be read is named in the log, and its chunks count as missing.
  static Result<std::unique_ptr<ChunkStore>> Open(const std::string& folder, int64_t quota_bytes);

  const std::string& folder() const { return folder_; }
  int64_t used_bytes() const;

  // Those of `wanted` that are not here, in this order; hashes what was not hashed yet on `pool`.
  std::vector<Sha256Digest> Missing(std::span<const Sha256Digest> wanted, ThreadPool& pool);
  // The same without hashing: whether there is a file of that name.
  bool Has(const Sha256Digest& digest) const;

  // Keeps `bytes`. Errors: kDataLoss if they have another hash; kResourceExhausted, naming the
  // bytes, if pinned chunks leave no room for them or the disk is full.
  Status Put(const Sha256Digest& digest, std::span<const std::byte> bytes);
  // Checked, and read rather than mapped, so that nobody can cut it short.
  Content Find(const Sha256Digest& digest) override;
  // Blocks until the chunk is here; gives up (false) when no chunk came for `patience`, or `stop`
  // says so, which is asked several times a second.
  bool WaitFor(const Sha256Digest& digest, std::chrono::milliseconds patience,
               const std::function<bool()>& stop) const;
  // A tensor's chunks as one piece of memory: each but the last of kChunkBytes, `bytes` in all.
  // REQUIRES that Missing found none of them. Errors: a file is gone, or has another size.
  Result<MappedSequence> Map(std::span<const Sha256Digest> chunks, int64_t bytes);

  // While it lives, its chunks are not evicted, whether or not they are here yet. The store
  // outlives it.
  using Pin = std::shared_ptr<const void>;
  Pin Keep(std::vector<Sha256Digest> chunks);

 private:
  struct Entry {
    int64_t bytes = 0;
    uint64_t last_use = 0;  // higher: later
    bool checked = false;
  };

  ChunkStore(std::string folder, int64_t quota_bytes)
      : folder_(std::move(folder)), quota_bytes_(quota_bytes) {}
  Status ReadFolder();
  std::string PathOf(const Sha256Digest& digest) const;
  bool Check(const Sha256Digest& digest);
  Status MakeRoom(int64_t bytes);             // REQUIRES mutex_ to be held
  void Drop(const Sha256Digest& digest);      // REQUIRES mutex_ to be held
  void MarkUsed(const Sha256Digest& digest);  // REQUIRES mutex_ to be held

  const std::string folder_;
  const int64_t quota_bytes_;

  mutable std::condition_variable came_;  // a chunk
  mutable std::mutex mutex_;              // guards everything below
  std::map<Sha256Digest, Entry> entries_;
  std::map<Sha256Digest, int> pins_;  // how many pins hold it
  int64_t used_bytes_ = 0;            // of entries_ and of chunks that are being written
  uint64_t last_use_ = 0;
};

}  // namespace shoal
