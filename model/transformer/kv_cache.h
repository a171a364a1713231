// The keys and values of all sessions on one stage, in pages of kernels::kKvPageTokens positions of
// one layer.
//
// A session is admitted for all the positions it may ever hold, so that growing it never finds the
// budget spent; memory itself is taken page by page as positions are used. Pages of a closed
// session are kept for the next one: memory never exceeds the budget and never shrinks.
//
// Thread rule: belongs to one thread; page pointers may be used from any while that one waits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "kernels/kernel_table.h"
#include "model/transformer/aligned_buffer.h"

namespace shoal {

class KvCache;

// One session's pages. Hands them back to its cache, which outlives it.
class KvSession {
 public:
  KvSession(KvSession&& other) noexcept;
  KvSession& operator=(KvSession&&) = delete;
  ~KvSession();

  int32_t context_tokens() const { return context_tokens_; }

  // Makes the pages of every layer hold positions [0, positions). REQUIRES positions <=
  // context_tokens(). Errors: the system has no memory left.
  Status Grow(int32_t positions);

  // Pages of a layer of this stage, counted from 0, in order of position.
  std::byte* const* pages(int32_t layer) const { return pages_[static_cast<size_t>(layer)].data(); }

 private:
  friend class KvCache;
  KvSession(KvCache& cache, int32_t context_tokens, int64_t granted_pages);

  KvCache* cache_;  // null after a move
  int32_t context_tokens_;
  int64_t granted_pages_;                       // of all layers together
  std::vector<std::vector<std::byte*>> pages_;  // [layers][pages so far]
};

class KvCache {
 public:
  KvCache(const kernels::AttentionShape& shape, int32_t layers, int64_t budget_bytes);
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  // Errors: kResourceExhausted if the budget, less what other sessions were granted, is too small.
  Result<KvSession> Admit(int32_t context_tokens);

  int64_t used_bytes() const { return used_pages_ * page_bytes_; }
  int64_t granted_bytes() const { return granted_pages_ * page_bytes_; }

 private:
  friend class KvSession;
  Result<std::byte*> TakePage();
  void GiveBack(KvSession& session);

  int64_t page_bytes_;
  int32_t layers_;
  int64_t budget_pages_;
  int64_t granted_pages_ = 0;
  int64_t used_pages_ = 0;
  std::vector<AlignedBuffer> slabs_;    // own the memory of all pages
  std::vector<std::byte*> free_pages_;  // parts of slabs that no session uses
};

}  // namespace shoal
