// A fixed set of worker threads for data-parallel loops in the token path.
//
// Between loops a worker spins for a few tens of microseconds, so that the next loop of the same
// forward pass starts at once, and then sleeps in the kernel, so that an idle node uses no CPU.
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

  // Calls body(begin, end) for half-open parts that together cover [0, count), each of `grain`
  // items but the last; parts are handed out as threads become free. Returns when all are done.
  // REQUIRES grain >= 1. `body` must not throw and must not use the pool.
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

  Loop loop_{};                                      // written before generation_ moves on
  alignas(64) std::atomic<int64_t> next_{0};         // first item not handed out yet
  alignas(64) std::atomic<uint32_t> generation_{0};  // which loop the workers shall run
  alignas(64) std::atomic<int32_t> busy_{0};         // workers that have not finished the loop
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace shoal
