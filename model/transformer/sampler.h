// Logits to a token, as SamplingParams says (model/step/step.h). Pure and the same on every
// machine: exponentials are kernels/portable_math.h's, whatever the instruction set, ties go to the
// lower id, the random draw is a hash of (seed, position).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kernel_table.h"
#include "model/step/step.h"

namespace shoal {

// What penalties need to know of a session.
struct TokenHistory {
  std::vector<int32_t> tokens;  // prompt, then answer
  int32_t prompt_tokens = 0;
};

// `logits` [vocab] is scratch: overwritten. `position` is that of the token to be drawn. `scratch`
// is reused between calls. Ids in logit_bias outside the vocabulary are ignored.
SampledToken SampleToken(const kernels::KernelTable& kernels, std::span<float> logits,
                         const SamplingParams& params, const TokenHistory& history,
                         SessionId session, int32_t position, std::vector<TokenLogprob>& scratch);

// log(sum(exp(logits))), in double.
double LogSumExp(std::span<const float> logits);

}  // namespace shoal
