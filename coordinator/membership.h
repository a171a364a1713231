// Which of a mesh's nodes a plan may use. Pure: events and times come in, the answer goes out.
//
//   absent --answers--> present --is lost--> absent
//
// A node that was lost is trusted again only after it has been there for a while, which doubles
// with each loss: one that flaps would interrupt everyone each time. Who has been there for long is
// forgiven.
#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"

namespace shoal {

class Membership {
 public:
  static constexpr int64_t kFirstQuarantineNs = 1 * kNsPerS;  // after a first loss
  static constexpr int64_t kMostQuarantineNs = 300 * kNsPerS;
  static constexpr int64_t kForgivenAfterNs = 600 * kNsPerS;  // of presence

  // All are absent, and none was ever lost.
  explicit Membership(int32_t nodes) : nodes_(static_cast<size_t>(nodes)) {}

  // The node has just said that it is there, or has not said so when it was asked.
  void OnAnswer(int32_t node, int64_t now_ns);
  void OnSilence(int32_t node) { at(node).present = false; }
  // The node failed while it served.
  void OnLoss(int32_t node, int64_t now_ns);

  int32_t size() const { return static_cast<int32_t>(nodes_.size()); }
  bool present(int32_t node) const { return at(node).present; }
  // Present, and not in quarantine.
  bool trusted(int32_t node, int64_t now_ns) const;
  // The nodes for the next plan: those that are trusted, or all that are present if none is.
  std::vector<int32_t> Usable(int64_t now_ns) const;

 private:
  struct Node {
    bool present = false;
    int32_t losses = 0;    // that are not forgiven
    int64_t since_ns = 0;  // present
  };
  static int64_t QuarantineNs(const Node& node);
  Node& at(int32_t node) { return nodes_.at(static_cast<size_t>(node)); }
  const Node& at(int32_t node) const { return nodes_.at(static_cast<size_t>(node)); }

  std::vector<Node> nodes_;
};

}  // namespace shoal
