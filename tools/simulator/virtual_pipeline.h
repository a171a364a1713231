// The pipeline of a plan on a virtual clock: devices and links are first-in-first-out servers, a
// link is busy while it sends and delivers after its latency, in order. Steps pass one stage at a
// time; the caller keeps the events and calls in order of time.
#pragma once

#include <cstdint>
#include <vector>

#include "partitioner/plan.h"
#include "tools/simulator/options.h"
#include "tools/simulator/random.h"
#include "tools/simulator/stage_cost.h"
#include "tools/simulator/usage.h"

namespace shoal {

// Factors on what devices and links need, drawn or given.
class Disturbances {
 public:
  explicit Disturbances(const SimulationOptions& options);

  double ComputeFactor(int32_t device, double now_s);
  double LatencyFactor(const LinkProfile& link);

 private:
  const SimulationOptions& options_;
  Random random_;
};

class VirtualPipeline {
 public:
  // All outlive this. REQUIRES a plan that passed EvaluatePlan, with the problem's devices.
  VirtualPipeline(const PlanProblem& problem, const Plan& plan, Disturbances& disturbances,
                  Usage& usage);

  int32_t stages() const { return static_cast<int32_t>(stages_.size()); }
  // What is on the device from now on stays there.
  void Lose(int32_t device, double now_s);

  // The coordinator sends a step; returns when it reaches the first stage.
  double Submit(uint64_t step, double now_s);

  struct Passage {
    double sent_s = 0;     // the last byte has left the stage
    double arrival_s = 0;  // at the next stage, or at the coordinator
  };
  // A step reaches `stage` now.
  Passage Pass(int32_t stage, uint64_t step, const StepLoad& load, double now_s);
  // Whether what left `stage` at `sent_s` did so before its device was lost.
  bool Left(int32_t stage, double sent_s) const {
    return sent_s <= servers_[stages_[static_cast<size_t>(stage)].server].lost_s;
  }

 private:
  struct Server {  // a device; may hold two stages
    int32_t device = 0;
    double free_s = 0;
    double lost_s = 1e300;
  };
  struct Link {
    LinkProfile profile;
    int32_t resource = 0;  // of the usage
    double fixed_s = 0;    // busy with a step, whatever its size
    double token_s = 0;    // and for each of its tokens
    double free_s = 0;
    double delivered_s = 0;  // the last one
  };
  struct Stage {
    size_t server = 0;
    StageCost cost;
    Link out;
  };
  Passage Send(Link& link, uint64_t step, int32_t tokens, bool prefill, double now_s);
  Link MakeLink(const PlanProblem& problem, int32_t from, int32_t to);
  size_t ServerOf(int32_t device);

  Disturbances& disturbances_;
  Usage& usage_;
  std::vector<Server> servers_;
  std::vector<Stage> stages_;
  Link in_;  // from the coordinator to the first stage
};

}  // namespace shoal
