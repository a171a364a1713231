#include "node/fetch_schedule.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"

namespace shoal {

namespace {

constexpr double kForget = 7.0 / 8;  // of a source's pace so far, with each piece: some eight count

// Rendezvous hashing: every node computes the same weights (Thaler & Ravishankar 1998).
uint64_t Weight(const Sha256Digest& digest, uint32_t member) {
  Sha256 hash;
  hash.Update(std::as_bytes(std::span(digest)));
  hash.Update(std::as_bytes(std::span(&member, 1)));
  return LoadLittleEndian<uint64_t>(hash.Finish().data());
}

template <typename T>
bool Contains(const std::vector<T>& values, T value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

}  // namespace

void AssignSources(std::span<FetchItem> items, uint32_t own_member,
                   std::span<const FetchPeer> peers) {
  for (FetchItem& item : items) {
    item.holders.clear();
    for (size_t i = 0; i < peers.size(); ++i) {
      if (peers[i].has.contains(item.digest)) item.holders.push_back(static_cast<int32_t>(i) + 1);
    }
    const bool held = !item.holders.empty();
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
    items_.push_back({std::move(item), State::kWanted, {}});
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
    } else if (MayBring(at(source), source, items_[item]) && !Contains(at(source).asked, item)) {
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
  if (!item) item = TakeFromSlow(source, now_ns);
  if (!item) return std::nullopt;
  if (from.asked.empty()) from.heard_ns = now_ns;
  from.asked.push_back(*item);
  return items_[*item].fetch.digest;
}

void FetchSchedule::Answered(Source& source, size_t item, int64_t now_ns) {
  CHECK(std::erase(source.asked, item) == 1, "a piece that it was asked for");
  source.heard_ns = now_ns;
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

// From the node that would be done last of those that are much slower, what it would bring last,
// which stays its own, too, in case that the source turns out to be slower.
std::optional<size_t> FetchSchedule::TakeFromSlow(int32_t source, int64_t now_ns) const {
  std::optional<size_t> taken;
  double most_ns = 0;
  for (size_t i = 1; i < sources_.size(); ++i) {
    const Source& slow = sources_[i];
    if (&slow == &at(source)) continue;
    const std::optional<size_t> item = LastFor(source, slow, now_ns);
    if (!item || !IsMuchSlower(slow, at(source), *item, now_ns)) continue;
    const double left_ns = NsPerByte(slow, now_ns) * static_cast<double>(LeftBytes(slow));
    if (left_ns > most_ns) taken = item;
    most_ns = std::max(most_ns, left_ns);
  }
  return taken;
}

// What `slow` would bring last of what `source` has, and nobody else will bring soon.
std::optional<size_t> FetchSchedule::LastFor(int32_t source, const Source& slow,
                                             int64_t now_ns) const {
  const auto may = [&](size_t index) {
    const Item& item = items_[index];
    const bool has = source == 0 || Contains(item.fetch.holders, source);
    return has && MayBring(at(source), source, item) &&
           std::none_of(sources_.begin(), sources_.end(), [&](const Source& other) {
             return &other != &slow && Contains(other.asked, index) &&
                    (&other == &at(source) || !IsMuchSlower(other, at(source), index, now_ns));
           });
  };
  const auto queued = std::find_if(slow.queue.rbegin(), slow.queue.rend(), may);
  if (queued != slow.queue.rend()) return *queued;
  const auto asked = std::find_if(slow.asked.rbegin(), slow.asked.rend(), may);
  return asked == slow.asked.rend() ? std::nullopt : std::optional(*asked);
}

// Whether `fast` would bring the item long before `slow` is done. One that has brought nothing is
// tried with a single piece.
bool FetchSchedule::IsMuchSlower(const Source& slow, const Source& fast, size_t item,
                                 int64_t now_ns) const {
  const double slow_ns = NsPerByte(slow, now_ns);
  const double done_ns = slow_ns * static_cast<double>(LeftBytes(slow));
  if (done_ns < kWorthTakingNs) return false;
  if (fast.brought_bytes == 0) return fast.asked.empty();
  int64_t bytes = items_[item].fetch.max_bytes;
  for (const size_t other : fast.asked) bytes += items_[other].fetch.max_bytes;
  const double fast_ns = NsPerByte(fast, now_ns);
  return slow_ns > kMuchSlower * static_cast<double>(sources_.size()) * fast_ns &&
         done_ns > kMuchSlower * fast_ns * static_cast<double>(bytes);
}

// As it was lately, or more if the next piece is overdue; 0: unknown. Of a source that has brought
// nothing yet, the least that is possible.
double FetchSchedule::NsPerByte(const Source& source, int64_t now_ns) const {
  const double lately = source.brought_bytes > 0 ? source.busy_ns / source.brought_bytes : 0;
  if (source.asked.empty()) return lately;
  const double next_bytes = static_cast<double>(items_[source.asked.front()].fetch.max_bytes);
  const auto waited_ns = static_cast<double>(now_ns - source.heard_ns);
  return std::max(lately, (source.busy_ns + waited_ns) / (source.brought_bytes + next_bytes));
}

int64_t FetchSchedule::LeftBytes(const Source& source) const {
  int64_t bytes = 0;
  const auto add = [&](size_t index) {
    if (items_[index].state == State::kWanted) bytes += items_[index].fetch.max_bytes;
  };
  std::for_each(source.queue.begin(), source.queue.end(), add);
  std::for_each(source.asked.begin(), source.asked.end(), add);
  return bytes;
}

void FetchSchedule::Orphan(Source& source, bool asked_too) {
  if (asked_too) orphans_.insert(orphans_.end(), source.asked.begin(), source.asked.end());
  orphans_.insert(orphans_.end(), source.queue.begin(), source.queue.end());
  source.queue.clear();
}

bool FetchSchedule::IsAsked(int32_t source, const Sha256Digest& digest) const {
  const auto found = index_.find(digest);
  return found != index_.end() && Contains(at(source).asked, found->second);
}

std::optional<int64_t> FetchSchedule::OnReceived(int32_t source, const Sha256Digest& digest,
                                                 int64_t now_ns) {
  const size_t index = index_.at(digest);
  Source& from = at(source);
  Item& item = items_[index];
  from.brought_bytes = kForget * from.brought_bytes + static_cast<double>(item.fetch.max_bytes);
  from.busy_ns = kForget * from.busy_ns + static_cast<double>(now_ns - from.heard_ns);
  Answered(from, index, now_ns);
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
  Answered(at(source), index, now_ns);
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
