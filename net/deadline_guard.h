// Cancels something unless it is done in time: gRPC's synchronous streams take no deadline for one
// read or write, so the handshake's are guarded by this.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace shoal {

class DeadlineGuard {
 public:
  // Calls `expire` on a thread of its own after `timeout_ms`, unless destroyed before.
  DeadlineGuard(int timeout_ms, std::function<void()> expire)
      : deadline_(After(timeout_ms)), thread_([this, expire = std::move(expire)] {
          std::unique_lock lock(mutex_);
          for (Time until = deadline_; !done_ && Clock::now() < until; until = deadline_) {
            changed_.wait_until(lock, until);
          }
          if (!done_) expire();
        }) {}

  ~DeadlineGuard() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  // Something has got on: `timeout_ms` from now. No effect once expired.
  void Extend(int timeout_ms) {
    const std::lock_guard lock(mutex_);
    deadline_ = After(timeout_ms);
    changed_.notify_all();
  }

  DeadlineGuard(const DeadlineGuard&) = delete;
  DeadlineGuard& operator=(const DeadlineGuard&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;
  static Time After(int timeout_ms) { return Clock::now() + std::chrono::milliseconds(timeout_ms); }

  std::mutex mutex_;  // guards the next three
  std::condition_variable changed_;
  bool done_ = false;
  Time deadline_;
  std::thread thread_;
};

}  // namespace shoal
