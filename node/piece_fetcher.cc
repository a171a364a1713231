#include "node/piece_fetcher.h"

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/log.h"

namespace shoal {

namespace {

constexpr size_t kMaxAsked = 16;     // of one source, so that it never waits for the next want
constexpr size_t kMaxUnchecked = 8;  // 32 MiB
constexpr int kLookMs = 500;         // how often a free source looks for what a silent one leaves

Error WasCancelled() { return Cancelled("fetching weights was cancelled"); }

}  // namespace

struct PieceFetcher::State {
  State(ChunkStore& chunk_store, std::vector<PieceChannel*> channels, const Clock& a_clock,
        int checker_count)
      : store(chunk_store),
        sources(std::move(channels)),
        clock(a_clock),
        checkers(checker_count),
        failures(sources.size()) {}

  struct Unchecked {
    int32_t source;
    ReceivedPiece piece;
    int64_t max_bytes;
  };

  void SourceThreadMain(int32_t source);
  void CheckerThreadMain();
  bool AskMore(int32_t source);  // false: nothing is outstanding, or the source is out
  void Take(int32_t source, ReceivedPiece piece);
  void CheckPiece(Unchecked unchecked);
  void Fail(int32_t source, const Error& error);  // REQUIRES mutex to be held
  void End(Status status);                        // REQUIRES mutex to be held
  Status Stuck() const;

  ChunkStore& store;
  const std::vector<PieceChannel*> sources;
  const Clock& clock;
  const int checkers;

  std::mutex mutex;  // guards everything below
  std::condition_variable changed;
  std::vector<std::optional<Error>> failures;  // of each source
  std::optional<FetchSchedule> schedule;
  FetchProgress* progress = nullptr;
  std::deque<Unchecked> unchecked;
  bool cancelled = false;
  bool ended = true;
  Status outcome;
};

PieceFetcher::PieceFetcher(ChunkStore& store, std::vector<PieceChannel*> sources,
                           const Clock& clock, int checkers)
    : state_(std::make_unique<State>(store, std::move(sources), clock, checkers)) {}

PieceFetcher::~PieceFetcher() = default;

void PieceFetcher::Cancel() {
  const std::lock_guard lock(state_->mutex);
  state_->cancelled = true;
  state_->End(WasCancelled());
}

Status PieceFetcher::Fetch(std::vector<FetchItem> items, FetchProgress* progress) {
  State& state = *state_;
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(state.mutex);
    if (state.cancelled) return WasCancelled();
    state.schedule.emplace(std::move(items), static_cast<int32_t>(state.sources.size()));
    for (size_t i = 0; i < state.sources.size(); ++i) {
      if (state.failures[i]) state.schedule->OnGone(static_cast<int32_t>(i));
    }
    state.progress = progress;
    state.ended = false;
    state.outcome = OkStatus();
    if (state.schedule->done()) state.End(OkStatus());
    if (state.schedule->stuck()) state.End(state.Stuck());
  }
  for (size_t i = 0; i < state.sources.size(); ++i) {
    threads.emplace_back([&state, i] { state.SourceThreadMain(static_cast<int32_t>(i)); });
  }
  for (int i = 0; i < state.checkers; ++i) {
    threads.emplace_back([&state] { state.CheckerThreadMain(); });
  }
  for (std::thread& thread : threads) thread.join();
  const std::lock_guard lock(state.mutex);
  state.unchecked.clear();
  return state.outcome;
}

// Sources that are still to bring something, which nobody needs, block their threads.
void PieceFetcher::State::End(Status status) {
  if (ended) return;
  ended = true;
  outcome = std::move(status);
  for (size_t i = 0; i < sources.size(); ++i) {
    if (!cancelled && schedule->outstanding(static_cast<int32_t>(i)) == 0) continue;
    sources[i]->Cancel();
    if (!failures[i]) failures[i] = shoal::Cancelled("it was too slow");
  }
  changed.notify_all();
}

void PieceFetcher::State::Fail(int32_t source, const Error& error) {
  const auto index = static_cast<size_t>(source);
  if (ended || failures[index]) return;
  spdlog::warn("weights from {}: {}", sources[index]->name(), error.message);
  failures[index] = error;
  sources[index]->Cancel();
  schedule->OnGone(source);
  if (schedule->stuck()) End(Stuck());
  changed.notify_all();
}

Status PieceFetcher::State::Stuck() const {
  std::string message = "some of the model's weights cannot be had";
  for (size_t i = 0; i < sources.size(); ++i) {
    message += fmt::format("; {}: {}", sources[i]->name(),
                           failures[i] ? failures[i]->message : "it does not have them");
  }
  return Unavailable(message);
}

bool PieceFetcher::State::AskMore(int32_t source) {
  std::vector<Sha256Digest> wanted;
  {
    std::unique_lock lock(mutex);
    if (ended || schedule->out(source)) return false;
    while (schedule->outstanding(source) < kMaxAsked) {
      const std::optional<Sha256Digest> next = schedule->Next(source, clock.NowNs());
      if (!next) break;
      wanted.push_back(*next);
    }
    if (wanted.empty() && schedule->outstanding(source) == 0) {
      changed.wait_for(lock, std::chrono::milliseconds(kLookMs));
      return false;
    }
  }
  if (wanted.empty()) return true;
  const Status asked = sources[static_cast<size_t>(source)]->Ask(wanted);
  if (asked.ok()) return true;
  const std::lock_guard lock(mutex);
  Fail(source, asked.error());
  return false;
}

void PieceFetcher::State::SourceThreadMain(int32_t source) {
  while (true) {
    {
      const std::lock_guard lock(mutex);
      if (ended || schedule->out(source)) return;
    }
    if (!AskMore(source)) continue;
    Result<ReceivedPiece> piece = sources[static_cast<size_t>(source)]->Receive();
    if (piece.ok()) {
      Take(source, std::move(piece).value());
    } else {
      const std::lock_guard lock(mutex);
      Fail(source, piece.error());
    }
  }
}

void PieceFetcher::State::Take(int32_t source, ReceivedPiece piece) {
  std::unique_lock lock(mutex);
  changed.wait(lock, [this] { return ended || unchecked.size() < kMaxUnchecked; });
  if (ended || schedule->out(source)) return;
  if (!schedule->IsAsked(source, piece.digest)) {
    Fail(source, DataLoss("it sent a piece that it was not asked for"));
  } else if (piece.missing) {
    schedule->OnMissing(source, piece.digest, clock.NowNs());
    if (schedule->stuck()) End(Stuck());
  } else if (const auto max_bytes = schedule->OnReceived(source, piece.digest, clock.NowNs())) {
    unchecked.push_back({source, std::move(piece), *max_bytes});
  }
  changed.notify_all();
}

void PieceFetcher::State::CheckerThreadMain() {
  std::unique_lock lock(mutex);
  while (true) {
    changed.wait(lock, [this] { return ended || !unchecked.empty(); });
    if (ended) return;
    Unchecked next = std::move(unchecked.front());
    unchecked.pop_front();
    changed.notify_all();
    lock.unlock();
    CheckPiece(std::move(next));
    lock.lock();
  }
}

void PieceFetcher::State::CheckPiece(Unchecked next) {
  const Sha256Digest digest = next.piece.digest;
  const Result<std::string> bytes =
      sources[static_cast<size_t>(next.source)]->Unpack(std::move(next.piece), next.max_bytes);
  const Status stored =
      bytes.ok() ? store.Put(digest, std::as_bytes(std::span(*bytes))) : Status(bytes.error());
  const std::lock_guard lock(mutex);
  if (ended) return;
  if (stored.ok()) {
    schedule->OnStored(digest);
    if (progress != nullptr) {
      const auto size = static_cast<int64_t>(bytes->size());
      progress->bytes_done += size;
      if (next.source == 0) progress->first_source_bytes += size;
    }
    if (schedule->done()) End(OkStatus());
  } else if (bytes.ok() && stored.error().code != ErrorCode::kDataLoss) {
    spdlog::warn("weights cannot be kept: {}", stored.error().message);
    End(stored);  // the same with every source
  } else {
    schedule->OnDamaged(next.source, digest);
    Fail(next.source, stored.error());
    if (schedule->stuck()) End(Stuck());  // also if that source had failed before
  }
  changed.notify_all();
}

}  // namespace shoal
