// Monotonic time, handed in from the edge so that logic can run on a fake clock.
#pragma once

#include <atomic>
#include <cstdint>

namespace shoal {

class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds since an arbitrary, fixed start; never goes back. Safe from any thread.
  virtual int64_t NowNs() const = 0;
};

// The operating system's steady clock.
class SteadyClock final : public Clock {
 public:
  int64_t NowNs() const override;
};

// Stands still until told to move.
class FakeClock final : public Clock {
 public:
  int64_t NowNs() const override { return now_ns_.load(); }
  void AdvanceNs(int64_t delta_ns) { now_ns_ += delta_ns; }

 private:
  std::atomic<int64_t> now_ns_{0};
};

constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kNsPerS = 1'000'000'000;

}  // namespace shoal
