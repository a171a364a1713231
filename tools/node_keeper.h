// Watches over a node on behalf of its device's owner: reads the device's facts every two seconds,
// decides by the policy, obeys `shoal node pause` and `resume`, and says when the node's
// availability changes.
//
// Thread rule: runs threads of its own; Start and destruction belong to one thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/result.h"
#include "node/policy.h"
#include "tools/control_socket.h"

namespace shoal {

class NodeKeeper {
 public:
  // Called from one of the keeper's threads, first at once: why the node is not available, or
  // nothing while it is.
  using OnAvailability = std::function<void(const std::optional<std::string>& reason)>;

  // `clock` outlives it. An empty `control_path`: nobody can pause it by hand. A path that cannot
  // be used is said in the log, and the node goes on without it.
  NodeKeeper(const NodePolicy& policy, const std::string& control_path, const Clock& clock,
             OnAvailability on_availability);
  ~NodeKeeper();

 private:
  void ThreadMain();
  DeviceFacts ReadFacts();
  std::string Answer(const std::string& line);

  const NodePolicy policy_;
  const Clock& clock_;
  const OnAvailability on_availability_;
  bool asked_for_user_ = false;  // the keeper thread's

  std::mutex mutex_;  // guards everything below but the threads
  std::condition_variable changed_;
  bool stop_ = false;
  bool decide_now_ = true;
  bool paused_ = false;  // by hand
  PolicyDecision decision_;

  std::unique_ptr<ControlSocket> control_;
  std::thread thread_;
};

// What the socket understands, and where it is in a state folder.
constexpr const char* kPauseLine = "pause";
constexpr const char* kResumeLine = "resume";
std::string NodeControlPath(const std::string& state_folder);

}  // namespace shoal
