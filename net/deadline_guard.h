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
      : thread_([this, timeout_ms, expire = std::move(expire)] {
          std::unique_lock lock(mutex_);
          const auto timeout = std::chrono::milliseconds(timeout_ms);
          if (!changed_.wait_for(lock, timeout, [this] { return done_; })) expire();
        }) {}

  ~DeadlineGuard() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  DeadlineGuard(const DeadlineGuard&) = delete;
  DeadlineGuard& operator=(const DeadlineGuard&) = delete;

 private:
  std::mutex mutex_;  // guards done_
  std::condition_variable changed_;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace shoal
