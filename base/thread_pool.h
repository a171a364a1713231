// A fixed set of worker threads for data-parallel loops in the token path.
//
// Between loops a worker spins for a few tens of microseconds, so that the next loop of the same
// forward pass starts at once, and then sleeps in the kernel, so that an idle node uses no CPU. A
// loop waits for the parts that were begun, never for a worker that has not woken up yet.
// Which worker does which part never changes a result: parts must be independent.
//
// Thread rule: one loop at a time, always from the thread that owns the pool.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace shoal {

class ThreadPool {
 public:
  // `threads` counts the calling thread: 1 starts none. REQUIRES threads >= 1.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(begin, end) for half-open parts that together cover [0, count), of `grain` items
  // each but the last (with one thread, or where one part is enough: all at once); parts are handed
  // out as threads become free. Returns when all are done. REQUIRES grain >= 1. `body` must not
  // throw and must not use the pool.
  template <typename Body>
  void ParallelFor(int64_t count, int64_t grain, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    Run(Loop{count, grain, const_cast<void*>(static_cast<const void*>(&body)),
             [](void* b, int64_t begin, int64_t end) { (*static_cast<Plain*>(b))(begin, end); }});
  }

 private:
  struct Loop {
    int64_t count;
    int64_t grain;
    void* body;
    void (*call)(void* body, int64_t begin, int64_t end);
  };

  void Run(const Loop& loop);
  void TakeParts();
  void WorkerThreadMain();
  // Joins the open loop unless it is `seen` already; false if it has closed meanwhile.
  bool Enter(uint32_t& seen);
  void Leave();

  Loop loop_{};                               // written while no loop is open and no worker inside
  alignas(64) std::atomic<int64_t> next_{0};  // first item not handed out yet
  // Which loop it is (kLoopShift up), whether workers may join it (kOpen), how many are inside.
  alignas(64) std::atomic<uint32_t> state_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace shoal
