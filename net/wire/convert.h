// The gate between protobuf messages and the plain structs of model/step: every count, id and size
// that a peer sends is checked here against StepLimits, and nowhere after it.
//
// Thread rule: pure.
#pragma once

#include "base/result.h"
#include "model/step/step.h"
#include "net/wire/activation_codec.h"
#include "proto/pipeline.pb.h"

namespace shoal {

// Overwrites `message`. `codec` is the link's, which both ends have agreed on.
void StepToMessage(const Step& step, v1::StepMessage& message, ActivationCodec codec = {});
// Errors (kInvalidArgument) name the field, the value and the limit. `model_dim` is the width that
// activations must have; 0 for the first stage, which takes none.
Result<Step> StepFromMessage(const v1::StepMessage& message, int32_t model_dim,
                             ActivationCodec codec = {});

void ResultToMessage(const StepResult& result, v1::StepResultMessage& message);
Result<StepResult> ResultFromMessage(const v1::StepResultMessage& message);

}  // namespace shoal
