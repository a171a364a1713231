#include "base/thread_pool.h"

#include "base/check.h"

namespace shoal {

namespace {

// About 30 microseconds on the machines at hand: longer than the serial gaps of a forward pass,
// short enough that two nodes that share a core hardly disturb each other.
constexpr int kSpins = 1000;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns when `value` is no longer `old`: spins first, then sleeps.
template <typename T>
void WaitWhileEqual(const std::atomic<T>& value, T old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    Pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  CHECK(threads >= 1, "a pool has at least the calling thread");
  workers_.reserve(static_cast<size_t>(threads - 1));
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { WorkerThreadMain(); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
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
  busy_.store(static_cast<int32_t>(workers_.size()), std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  TakeParts();
  for (int32_t busy = busy_.load(std::memory_order_acquire); busy != 0;
       busy = busy_.load(std::memory_order_acquire)) {
    WaitWhileEqual(busy_, busy);
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

void ThreadPool::WorkerThreadMain() {
  uint32_t seen = 0;
  while (true) {
    WaitWhileEqual(generation_, seen);
    seen = generation_.load(std::memory_order_acquire);
    if (stop_.load()) return;
    TakeParts();
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
  }
}

}  // namespace shoal
