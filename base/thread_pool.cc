#include "base/thread_pool.h"

#include "base/check.h"

namespace shoal {

namespace {

// About 30 microseconds on the machines at hand: longer than the serial gaps of a forward pass,
// short enough that two nodes that share a core hardly disturb each other.
constexpr int kSpins = 1000;

// The fields of ThreadPool::state_. The loop's number wraps around; a worker that sleeps through
// exactly that many loops misses one, which costs nothing but its help.
constexpr uint32_t kInsideMask = (1U << 15) - 1;
constexpr uint32_t kOpen = 1U << 15;
constexpr uint32_t kLoopShift = 16;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns when `value` is no longer `old`: spins first, then sleeps.
void WaitWhileEqual(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    Pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  CHECK(threads >= 1 && static_cast<uint32_t>(threads) < kInsideMask,
        "a pool has at least the calling thread, and fewer than its counter holds");
  workers_.reserve(static_cast<size_t>(threads - 1));
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { WorkerThreadMain(); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  state_.fetch_add(1U << kLoopShift, std::memory_order_release);
  state_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(const Loop& loop) {
  if (loop.count <= 0) return;
  CHECK(loop.grain >= 1, "grain counts items");
  if (workers_.empty() || loop.count <= loop.grain) {
    loop.call(loop.body, 0, loop.count);
    return;
  }
  loop_ = loop;
  next_.store(0, std::memory_order_relaxed);
  // No loop is open and nobody is inside: only the number is set.
  state_.fetch_add((1U << kLoopShift) + kOpen, std::memory_order_release);
  state_.notify_all();
  TakeParts();
  state_.fetch_sub(kOpen, std::memory_order_acq_rel);
  for (uint32_t state = state_.load(std::memory_order_acquire); (state & kInsideMask) != 0;
       state = state_.load(std::memory_order_acquire)) {
    WaitWhileEqual(state_, state);
  }
}

void ThreadPool::TakeParts() {
  while (true) {
    const int64_t begin = next_.fetch_add(loop_.grain, std::memory_order_relaxed);
    if (begin >= loop_.count) return;
    const int64_t end = begin + loop_.grain < loop_.count ? begin + loop_.grain : loop_.count;
    loop_.call(loop_.body, begin, end);
  }
}

bool ThreadPool::Enter(uint32_t& seen) {
  uint32_t state = state_.load(std::memory_order_acquire);
  while (true) {
    if (state >> kLoopShift == seen || (state & kOpen) == 0) {
      seen = state >> kLoopShift;
      return false;
    }
    if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel)) {
      seen = state >> kLoopShift;
      return true;
    }
  }
}

void ThreadPool::Leave() {
  const uint32_t before = state_.fetch_sub(1, std::memory_order_acq_rel);
  const bool last_out = (before & kInsideMask) == 1 && (before & kOpen) == 0;
  if (last_out) state_.notify_all();
}

void ThreadPool::WorkerThreadMain() {
  uint32_t seen = 0;
  while (!stop_.load()) {
    if (Enter(seen)) {
      TakeParts();
      Leave();
    }
    // Others that enter and leave change the state, too: back to sleep until the number moves.
    for (uint32_t state = state_.load(std::memory_order_acquire);
         state >> kLoopShift == seen && !stop_.load();
         state = state_.load(std::memory_order_acquire)) {
      WaitWhileEqual(state_, state);
    }
  }
}

}  // namespace shoal
