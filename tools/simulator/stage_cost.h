// Seconds that a stage needs for one actual step: of any mix of decode tokens and prompt chunks,
// each at its own position. The formulas and numbers are those of partitioner/cost_model.h: for
// steps as its predictions assume them, both agree.
//
//   stage s = step_s + sum of layers: layer_s + weights(all tokens) + elementwise(all tokens)
//             + attention(each slice)  (+ weights of the head for sampled tokens, if last)
//   A step without tokens, which only closes sessions, takes step_s.
#pragma once

#include <cstdint>
#include <vector>

#include "model/step/step.h"
#include "partitioner/problem.h"

namespace shoal {

// Attention windows that differ among a model's layers; 0: none. At least one.
std::vector<int32_t> AttentionWindows(const ModelShape& model);

// What a step asks of every stage.
struct StepLoad {
  int32_t tokens = 0;
  int32_t samples = 0;  // tokens that the head is used for
  // Sums over slices of tokens * min(cached positions before each token on average, window), by
  // index into AttentionWindows: of slices of one token, and of more (chunks of prompts).
  std::vector<double> decode_positions;
  std::vector<double> prefill_positions;

  // Overwrites this with the step's; keeps its memory.
  void Set(const Step& step, const std::vector<int32_t>& windows);
};

class StageCost {
 public:
  // REQUIRES CheckProblem to have passed. `problem` outlives this.
  StageCost(const PlanProblem& problem, int32_t device, StageRange range);

  // REQUIRES a step of the Scheduler: at most the workload's step_token_budget tokens. Remembers
  // what weights cost for each count of tokens, so it belongs to one thread.
  double Seconds(const StepLoad& load);

 private:
  double LayersSeconds(int32_t tokens) const;
  double HeadSeconds(int32_t samples) const;

  const PlanProblem& problem_;
  int32_t device_;
  StageRange range_;
  double step_s_;
  std::vector<double> decode_attention_s_;   // by window, for one token and position
  std::vector<double> prefill_attention_s_;  // likewise
  std::vector<double> layers_s_;             // by count of tokens; negative: not known yet
  std::vector<double> head_s_;               // by count of samples; likewise; empty: no head here
};

}  // namespace shoal
