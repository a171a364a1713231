#include "tools/node_keeper.h"

#include <chrono>
#include <ctime>
#include <utility>

#include "base/log.h"
#include "node/device_state.h"
#include "node/profiler.h"
#include "tools/user_activity.h"

namespace shoal {

namespace {

constexpr std::chrono::seconds kInterval{2};

int32_t MinuteOfDay() {
  const std::time_t now = std::time(nullptr);
  std::tm local = {};
  localtime_r(&now, &local);
  return local.tm_hour * 60 + local.tm_min;
}

}  // namespace

std::string NodeControlPath(const std::string& state_folder) {
  return state_folder + "/node-control.sock";
}

NodeKeeper::NodeKeeper(const NodePolicy& policy, const std::string& control_path,
                       const Clock& clock, OnAvailability on_availability)
    : policy_(policy), clock_(clock), on_availability_(std::move(on_availability)) {
  if (!control_path.empty()) {
    Result<std::unique_ptr<ControlSocket>> control = ControlSocket::Listen(
        control_path, [this](const std::string& line) { return Answer(line); });
    if (control.ok()) {
      control_ = std::move(control).value();
    } else {
      spdlog::warn("this node cannot be paused by hand: {}", control.error().message);
    }
  }
  thread_ = std::thread([this] { ThreadMain(); });
}

NodeKeeper::~NodeKeeper() {
  control_.reset();
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void NodeKeeper::ThreadMain() {
  bool first = true;
  std::unique_lock lock(mutex_);
  while (!stop_) {
    lock.unlock();
    DeviceFacts facts = ReadFacts();
    lock.lock();
    facts.paused = paused_;
    decide_now_ = false;
    const PolicyDecision next = Decide(policy_, decision_, facts, clock_.NowNs());
    const bool tell = first || next.cause != decision_.cause;
    decision_ = next;
    if (tell) {
      lock.unlock();
      if (!next.available()) spdlog::warn("this node pauses: {}", next.reason);
      if (next.available() && !first) spdlog::info("this node is available again");
      on_availability_(next.available() ? std::nullopt : std::optional(next.reason));
      lock.lock();
      first = false;
    }
    changed_.wait_for(lock, kInterval, [this] { return stop_ || decide_now_; });
  }
}

DeviceFacts NodeKeeper::ReadFacts() {
  DeviceFacts facts;
  facts.state = ReadDeviceState("");
  const int64_t free_bytes = AvailableMemoryBytes();
  facts.free_memory_bytes = free_bytes > 0 ? free_bytes : -1;
  facts.minute_of_day = MinuteOfDay();
  if (!policy_.pause_when_active) return facts;
  facts.user_active = IsUserActive();
  if (!facts.user_active && !std::exchange(asked_for_user_, true)) {
    spdlog::warn(
        "whether somebody uses this device cannot be told here: systemd's login manager "
        "does not answer");
  }
  return facts;
}

std::string NodeKeeper::Answer(const std::string& line) {
  if (line != kPauseLine && line != kResumeLine) return "unknown command";
  const std::lock_guard lock(mutex_);
  paused_ = line == kPauseLine;
  decide_now_ = true;
  changed_.notify_all();
  return "ok";
}

}  // namespace shoal
