#include "model/transformer/kv_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace shoal {

namespace {

// Pages are taken from the system in blocks of about this size: large enough for huge pages, small
// beside any model.
constexpr int64_t kSlabBytes = 2 << 20;

int64_t PagesFor(int32_t positions) {
  return (int64_t{positions} + kernels::kKvPageTokens - 1) / kernels::kKvPageTokens;
}

}  // namespace

KvSession::KvSession(KvCache& cache, int32_t context_tokens, int64_t granted_pages)
    : cache_(&cache),
      context_tokens_(context_tokens),
      granted_pages_(granted_pages),
      pages_(static_cast<size_t>(cache.layers_)) {}

KvSession::KvSession(KvSession&& other) noexcept
    : cache_(std::exchange(other.cache_, nullptr)),
      context_tokens_(other.context_tokens_),
      granted_pages_(other.granted_pages_),
      pages_(std::move(other.pages_)) {}

KvSession::~KvSession() {
  if (cache_ != nullptr) cache_->GiveBack(*this);
}

Status KvSession::Grow(int32_t positions) {
  CHECK(positions <= context_tokens_, "a session never holds more than it was granted");
  const auto needed = static_cast<size_t>(PagesFor(positions));
  for (std::vector<std::byte*>& layer : pages_) {
    while (layer.size() < needed) {
      ASSIGN_OR_RETURN(std::byte * page, cache_->TakePage());
      layer.push_back(page);
    }
  }
  return OkStatus();
}

KvCache::KvCache(const kernels::AttentionShape& shape, int32_t layers, int64_t budget_bytes)
    : page_bytes_(kernels::KvPageBytes(shape)),
      layers_(layers),
      budget_pages_(budget_bytes / page_bytes_) {}

Result<KvSession> KvCache::Admit(int32_t context_tokens) {
  CHECK(context_tokens > 0, "a session holds at least one position");
  const int64_t pages = PagesFor(context_tokens) * layers_;
  if (pages > budget_pages_ - granted_pages_) {
    return ResourceExhausted(
        fmt::format("no KV memory left: {} positions need {} bytes, {} of {} bytes are free",
                    context_tokens, pages * page_bytes_,
                    (budget_pages_ - granted_pages_) * page_bytes_, budget_pages_ * page_bytes_));
  }
  granted_pages_ += pages;
  return KvSession(*this, context_tokens, pages);
}

Result<std::byte*> KvCache::TakePage() {
  if (free_pages_.empty()) {
    const int64_t made = used_pages_;  // none is free
    const int64_t count = std::clamp<int64_t>(kSlabBytes / page_bytes_, 1,
                                              std::max<int64_t>(1, budget_pages_ - made));
    ASSIGN_OR_RETURN(AlignedBuffer slab, AlignedBuffer::Make(count * page_bytes_));
    for (int64_t i = count - 1; i >= 0; --i) free_pages_.push_back(slab.data() + i * page_bytes_);
    slabs_.push_back(std::move(slab));
  }
  std::byte* page = free_pages_.back();
  free_pages_.pop_back();
  ++used_pages_;
  std::memset(page, 0, static_cast<size_t>(page_bytes_));
  return page;
}

void KvCache::GiveBack(KvSession& session) {
  granted_pages_ -= session.granted_pages_;
  for (std::vector<std::byte*>& layer : session.pages_) {
    free_pages_.insert(free_pages_.end(), layer.begin(), layer.end());
    used_pages_ -= static_cast<int64_t>(layer.size());
  }
}

}  // namespace shoal
