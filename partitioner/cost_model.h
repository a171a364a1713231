// Predicted time and memory of stages and links: the formulas, with units. A plan's prediction
// (partitioner/plan.cc) and every strategy's search are made of these.
//
// A step carries `tokens` tokens (b) with `positions` cached positions before each (p), on average.
//
//   weights   s = matrices * matrix_s + touched(b) / rate(type, used(b))
//             touched(b) = bytes * e,  used(b) = b * experts_used / (experts * e) tokens each,
//             e = 1 - (1 - experts_used / experts)^b: the share of experts that b tokens reach
//             when routing is even (1 for dense weights)
//             1 / rate is linear in tokens between measured batches, in proportion beyond the last
//   attention s = b * min(p, window) * macs_per_position / attention_macs_per_s
//   elementwise s = b * elementwise_values / elementwise_values_per_s
//   layer     s = layer_s + weights + attention + elementwise
//   stage     s = step_s + sum of layers (+ weights of the head for sampled tokens, if last)
//   hop       s = latency_s + bytes / bytes_per_s; the link itself is busy for the second term
//
// and of a plan with stages 1..S, with one token (a session alone), p = prompt + output / 2:
//
//   decode      = hop(coordinator, 1) + sum of stages + sum of hops + hop(S, coordinator)
//   first token = the same with a chunk's tokens and no head, p = prompt / 2,
//                 + (chunks - 1) * the slowest stage's or link's time for a chunk
//                 + the head for one token
//   throughput  = b / max(decode(b) / m, slowest stage or link (b)), where m = min(S, sessions)
//                 steps are in flight with b = sessions / m tokens each (not rounded: steps differ
//                 by at most one token); a device that holds two stages is busy for both
//   energy      = sum over devices used of busy_watts * its stage + idle_watts * the rest, by
//   decode
//
//   memory      = (weights + KV of kv_tokens + buffers of step_token_budget tokens) * 1.2
#pragma once

#include <cstdint>
#include <vector>

#include "partitioner/plan.h"

namespace shoal {

enum class StepKind { kDecode, kPrefill };  // one token per session; many tokens of one

struct StepShape {
  StepKind kind = StepKind::kDecode;
  double tokens = 1;
  double positions = 0;
};

// Bytes of a step's header and of a sampled token: what travels between coordinator and stages.
constexpr double kControlBytes = 128;

// One token of one session, at the middle of a typical answer.
StepShape DecodeStep(const Workload& workload);
// What one of `stages` stages sees when all sessions decode; see throughput above.
StepShape BatchedDecodeStep(const Workload& workload, int32_t stages);
int32_t StepsInFlight(const Workload& workload, int32_t stages);
// A chunk of a typical prompt, all chunks being alike.
StepShape PrefillStep(const Workload& workload);
int32_t PrefillChunks(const Workload& workload);

// Seconds for `tokens` tokens with weights of one group.
double WeightsSeconds(const DeviceProfile& device, const WeightGroup& group, double tokens);
double LayerSeconds(const DeviceProfile& device, const LayerShape& layer, const StepShape& step);

// Every device's and link's seconds for one kind of step, made once and then read in O(1).
// Immutable. `problem` outlives it.
class StepCosts {
 public:
  // REQUIRES CheckProblem to have passed.
  StepCosts(const PlanProblem& problem, const StepShape& step);

  // Of layers alone.
  double layers_s(int32_t device, StageRange range) const {
    return layer_sums_[Index(device, range.end)] - layer_sums_[Index(device, range.begin)];
  }
  // The head, for `step.tokens` tokens.
  double head_s(int32_t device) const { return head_s_[static_cast<size_t>(device)]; }
  double step_s(int32_t device) const;
  // A whole stage; with the head if it ends the model and this is a decode step.
  double stage_s(int32_t device, StageRange range) const;

  // Activations from one stage's device to the next's, after layer `boundary` - 1. Endless if the
  // link is not usable.
  double hop_s(int32_t from, int32_t to, int32_t boundary) const;
  // How long the link itself is busy with it: not with the latency.
  double occupancy_s(int32_t from, int32_t to, int32_t boundary) const;
  // Token ids to the first stage; a sampled token from the last.
  double control_hop_s(int32_t from, int32_t to) const;

 private:
  size_t Index(int32_t device, int32_t layer) const {
    return static_cast<size_t>(device) * (static_cast<size_t>(layers_) + 1) +
           static_cast<size_t>(layer);
  }

  const PlanProblem& problem_;
  StepShape step_;
  int32_t layers_;
  std::vector<double> layer_sums_;  // [devices, layers + 1] of all layers before
  std::vector<double> head_s_;      // [devices]
};

// What a stage with these layers holds.
struct StageMemory {
  int64_t weight_bytes = 0;
  int64_t kv_bytes = 0;
  int64_t buffer_bytes = 0;

  int64_t needed_bytes() const;  // with the margin
};
StageMemory MemoryOf(const PlanProblem& problem, StageRange range);

}  // namespace shoal
