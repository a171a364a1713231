#include "node/fetch_schedule.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"

namespace shoal {

namespace {

// Rendezvous hashing: every node computes the same weights (Thaler & Ravishankar 1998).
uint64_t Weight(const Sha256Digest& digest, uint32_t member) {
  Sha256 hash;
  hash.Update(std::as_bytes(std::span(digest)));
  hash.Update(std::as_bytes(std::span(&member, 1)));
  return LoadLittleEndian<uint64_t>(hash.Finish().data());
}

}  // namespace

void AssignSources(std::span<FetchItem> items, uint32_t own_member,
                   std::span<const FetchPeer> peers) {
  for (FetchItem& item : items) {
    const bool held = std::any_of(peers.begin(), peers.end(), [&](const FetchPeer& peer) {
      return peer.has.contains(item.digest);
    });
    item.source = 0;
    std::optional<uint64_t> best;
    if (!held) best = Weight(item.digest, own_member);
    for (size_t i = 0; i < peers.size(); ++i) {
      if (!(held ? peers[i].has : peers[i].gets).contains(item.digest)) continue;
      const uint64_t weight = Weight(item.digest, peers[i].member);
      if (best && weight <= *best) continue;
      best = weight;
      item.source = static_cast<int32_t>(i) + 1;
    }
  }
}

FetchSchedule::FetchSchedule(std::vector<FetchItem> items, int32_t sources)
    : sources_(static_cast<size_t>(sources)), left_(items.size()) {
  for (FetchItem& item : items) {
    CHECK(item.source >= 0 && item.source < sources, "a source that there is");
    const size_t index = items_.size();
    CHECK(index_.emplace(item.digest, index).second, "each piece once");
    at(item.source).queue.push_back(index);
    items_.push_back({item, State::kWanted, {}});
  }
}

bool FetchSchedule::MayBring(const Source& source, int32_t index, const Item& item) const {
  return item.state == State::kWanted && !source.out && !item.refused.contains(index);
}

// The first item of the queue that the source may bring; what nobody waits for is dropped.
std::optional<size_t> FetchSchedule::Take(std::deque<size_t>& queue, int32_t source) {
  for (size_t i = 0; i < queue.size();) {
    const size_t item = queue[i];
    if (items_[item].state != State::kWanted) {
      queue.erase(queue.begin() + static_cast<ptrdiff_t>(i));
    } else if (MayBring(at(source), source, items_[item]) && !at(source).asked.contains(item)) {
      queue.erase(queue.begin() + static_cast<ptrdiff_t>(i));
      return item;
    } else {
      ++i;
    }
  }
  return std::nullopt;
}

std::optional<Sha256Digest> FetchSchedule::Next(int32_t source, int64_t now_ns) {
  Source& from = at(source);
  if (from.out) return std::nullopt;
  std::optional<size_t> item = Take(from.queue, source);
  if (!item) item = Take(orphans_, source);
  if (!item) {
    TakeFromSilent(now_ns);
    item = Take(orphans_, source);
  }
  if (!item) return std::nullopt;
  if (from.asked.empty()) from.heard_ns = now_ns;
  from.asked.insert(*item);
  return items_[*item].fetch.digest;
}

// What a silent source was to bring is there for others; if it does come, it is welcome.
void FetchSchedule::TakeFromSilent(int64_t now_ns) {
  for (Source& source : sources_) {
    const bool silent = !source.asked.empty() && now_ns - source.heard_ns > kPatienceNs;
    if (!silent) continue;
    Orphan(source, true);
    source.heard_ns = now_ns;
  }
}

void FetchSchedule::Orphan(Source& source, bool asked_too) {
  if (asked_too) orphans_.insert(orphans_.end(), source.asked.begin(), source.asked.end());
  orphans_.insert(orphans_.end(), source.queue.begin(), source.queue.end());
  source.queue.clear();
}

bool FetchSchedule::IsAsked(int32_t source, const Sha256Digest& digest) const {
  const auto found = index_.find(digest);
  return found != index_.end() && at(source).asked.contains(found->second);
}

std::optional<int64_t> FetchSchedule::OnReceived(int32_t source, const Sha256Digest& digest,
                                                 int64_t now_ns) {
  const size_t index = index_.at(digest);
  Source& from = at(source);
  CHECK(from.asked.erase(index) > 0, "a piece that it was asked for");
  from.heard_ns = now_ns;
  Item& item = items_[index];
  if (item.state != State::kWanted) return std::nullopt;
  item.state = State::kReceived;
  return item.fetch.max_bytes;
}

void FetchSchedule::OnStored(const Sha256Digest& digest) {
  Item& item = items_[index_.at(digest)];
  CHECK(item.state == State::kReceived, "stored once, after it was received");
  item.state = State::kStored;
  --left_;
}

void FetchSchedule::OnDamaged(int32_t source, const Sha256Digest& digest) {
  const size_t index = index_.at(digest);
  items_[index].state = State::kWanted;
  orphans_.push_back(index);
  OnGone(source);
}

void FetchSchedule::OnMissing(int32_t source, const Sha256Digest& digest, int64_t now_ns) {
  const size_t index = index_.at(digest);
  CHECK(at(source).asked.erase(index) > 0, "a piece that it was asked for");
  at(source).heard_ns = now_ns;
  items_[index].refused.insert(source);
  orphans_.push_back(index);
}

void FetchSchedule::OnGone(int32_t source) {
  Source& from = at(source);
  from.out = true;
  Orphan(from, true);
  from.asked.clear();
}

bool FetchSchedule::stuck() const {
  return std::any_of(items_.begin(), items_.end(), [this](const Item& item) {
    if (item.state != State::kWanted) return false;
    for (size_t i = 0; i < sources_.size(); ++i) {
      if (MayBring(sources_[i], static_cast<int32_t>(i), item)) return false;
    }
    return true;
  });
}

}  // namespace shoal
