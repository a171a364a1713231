// Which nodes a mesh has, what is known of each, and which of them a plan may use. Pure: events and
// times come in, states and answers go out. An event that cannot happen in a state is an error, and
// changes nothing.
//
//              answered               watched                silent for kSuspectNs
//     absent ------------> present <-----------> present ---------------------------> suspect
//        ^                    |      released    (watched) <---- answered -----------    |
//        |  silent, failed    |                     |                                    |
//        +--------------------+                     | leaves                             | leaves
//        |                                          v                                    v
//        +---- released ------------------------ leaving <-------------------------------+
//        +---- lost (or silent for kLostNs) ------- any that is watched
//
// A node that failed or was lost is trusted again only after it has been there for a while (its
// quarantine), which doubles with each loss: one that flaps would interrupt everyone each time. Who
// has been there for long is forgiven, and who leaves as it should is not held to have failed.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace shoal {

enum class MemberState : uint8_t {
  kAbsent,   // known, but not there
  kPresent,  // there, perhaps in quarantine
  kSuspect,  // in a plan, and silent for longer than its heartbeats may be late: for no new plan
  kLeaving,  // in a plan, and said that it goes: for no new plan
};

enum class MemberEvent : uint8_t {
  kAnswered,  // it has just said that it is there: when it was asked, or by a heartbeat
  kSilent,    // it did not say so when it was asked, which those are who are in no plan
  kFailed,    // it could not do its part of a plan that was being prepared
  kWatched,   // it is in a plan now: its heartbeats are due
  kReleased,  // it is in none any more
  kLost,      // its connection closed while it was in a plan
  kLeaves,    // it said that it goes while it was in a plan
};

std::string_view MemberStateName(MemberState state);
std::string_view MemberEventName(MemberEvent event);

class Membership {
 public:
  static constexpr int64_t kSuspectNs = 1 * kNsPerS;   // of silence, with heartbeats every 250 ms
  static constexpr int64_t kLostNs = 1500 * kNsPerMs;  // and then there is a text to replay
  static constexpr int64_t kFirstQuarantineNs = 1 * kNsPerS;  // after a first loss
  static constexpr int32_t kFailureCounts = 6;  // losses: what broke may take a person to mend
  static constexpr int64_t kMostQuarantineNs = 300 * kNsPerS;
  static constexpr int64_t kForgivenAfterNs = 600 * kNsPerS;  // of presence

  // The number of a new node, which is absent. Numbers count from 0 and are never used again.
  // Error: kInvalidArgument if there is a node of that name.
  Result<int32_t> Add(const std::string& name);
  // Error: kNotFound.
  Status Remove(int32_t node);

  // Errors: kNotFound; kFailedPrecondition (what cannot happen: names node, event and state).
  Status Apply(int32_t node, MemberEvent event, int64_t now_ns);
  // Time passes: who is in a plan and silent becomes suspect, then is lost. Returns those lost now.
  std::vector<int32_t> Tick(int64_t now_ns);
  // Until when Tick would take nobody for suspect or lost, if nobody were heard meanwhile.
  int64_t QuietUntilNs() const;
  // A heartbeat was answered at that time, which may be long ago. Ignored for whom nobody watches.
  void Heard(int32_t node, int64_t at_ns);

  bool knows(int32_t node) const { return nodes_.count(node) != 0; }
  MemberState state(int32_t node) const { return nodes_.at(node).state; }
  bool watched(int32_t node) const { return nodes_.at(node).watched; }
  const std::string& name(int32_t node) const { return nodes_.at(node).name; }
  std::vector<int32_t> all() const;  // ascending
  // Present, and not in quarantine.
  bool trusted(int32_t node, int64_t now_ns) const;
  // The nodes for the next plan, ascending: those that are trusted, or all that are present if none
  // is.
  std::vector<int32_t> Usable(int64_t now_ns) const;

 private:
  struct Node {
    std::string name;
    MemberState state = MemberState::kAbsent;
    bool watched = false;  // is in a plan; never while absent
    int32_t losses = 0;    // that are not forgiven
    int64_t since_ns = 0;  // when it was last absent and answered
    int64_t heard_ns = 0;
  };
  static bool CanHappen(const Node& node, MemberEvent event);
  static void CountLoss(Node& node, int64_t now_ns);
  static int64_t QuarantineNs(const Node& node);

  std::map<int32_t, Node> nodes_;
  int32_t next_ = 0;
};

}  // namespace shoal
