// Why a plan is as it is: what holds it back, what the devices left out would cost, what would help
// most. Plain data; sentences are for whoever prints them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "partitioner/plan.h"

namespace shoal {

// What takes the largest share of a prediction.
struct Bottleneck {
  enum class Kind {
    kDevice,   // `from`
    kLink,     // `from` to `to`, endpoints of the cluster
    kPassage,  // of throughput: the way through all stages, with too few sessions to fill them
  };
  Kind kind = Kind::kDevice;
  int32_t from = 0;
  int32_t to = -1;
  double seconds = 0;  // for decode: of one token; for throughput: between two steps
  double share = 0;    // of the prediction
};

// The best plan that makes use of a device that the plan leaves out.
struct LeftOut {
  int32_t device = 0;
  double objective = 0;  // 0: there is no such plan, or it was not looked for
  double ratio = 0;      // to the plan's objective, 1 or more
};

// A change of the cluster, and the best plan after it.
struct Change {
  enum class Kind {
    kDeviceTwiceAsFast,
    kMemoryDoubled,
    kFastLinks,   // all links of the device, as kFastLink
    kFastLink,    // one link of the plan, both ways
    kDeviceAdded  // one more like this
  };
  Kind kind = Kind::kDeviceTwiceAsFast;
  int32_t device = 0;  // or the link's endpoint `from`
  int32_t to = -1;
  double before = 0;  // objective, seconds
  double after = 0;   // no more than `before`
};

// A link as a cable and a switch give it: what kFastLink and kFastLinks assume, where the link is
// not better already.
constexpr double kFastLatencyS = 0.2e-3;
constexpr double kFastBytesPerS = 117e6;  // gigabit Ethernet less its framing

struct Explanation {
  Bottleneck decode;
  Bottleneck throughput;
  std::vector<LeftOut> left_out;  // by device; not the excluded ones
  std::vector<Change> changes;    // largest gain first; those that gain less than 0.1 % are absent
  int32_t not_tried = 0;          // changes and devices beyond the limit on plans
};

// Makes up to `max_plans` further plans. They are exact for few devices; for more (about nine
// distinct ones) they come from the search over orders, and what they promise is what it found.
// REQUIRES that `plan` has passed EvaluatePlan for `problem`.
Explanation Explain(const PlanProblem& problem, const Plan& plan, int32_t max_plans);

// "pi-2 twice as fast", "a fast link from pi-1 to pi-2".
std::string DescribeChange(const Cluster& cluster, const Change& change);

// Why there is no plan: bytes, with KV, buffers and margin, that all stages need at least, and that
// all devices have that are not excluded.
struct Shortage {
  int64_t needed_bytes = 0;
  int64_t available_bytes = 0;
  int64_t missing_bytes() const {
    return needed_bytes > available_bytes ? needed_bytes - available_bytes : 0;
  }
};
Shortage FindShortage(const PlanProblem& problem);

}  // namespace shoal
