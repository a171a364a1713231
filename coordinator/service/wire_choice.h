// Which codec activations travel in on each link of a plan, and what that means for its cost.
//
// Thread rule: pure.
#pragma once

#include <optional>
#include <vector>

#include "base/result.h"
#include "net/wire/activation_codec.h"
#include "partitioner/plan.h"

namespace shoal {

// One codec for every link; nothing: chosen for each link.
using WireChoice = std::optional<ActivationCodec>;

// Makes each layer of a model whose activations are counted as f32 send what the codec sends before
// zstd; where the codec is yet to be chosen, the least that could be.
void ChargeActivations(WireChoice choice, ModelShape& model);

// The codec of the link into each stage, of which the first is without activations. Where it is to
// be chosen: the most exact of f32, f16 and int8 with which the plan is at most 2 % slower (a
// token, a prompt, all sessions together) than with int8 on that link, while all other links have
// int8. `problem` counts activations as f32; the plan passes EvaluatePlan for it, whose errors are
// passed on.
Result<std::vector<ActivationCodec>> ChooseCodecs(WireChoice choice, const PlanProblem& problem,
                                                  const Plan& plan);

}  // namespace shoal
