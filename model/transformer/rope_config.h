// What metadata and tensors say of rotary position embedding.
#pragma once

#include "base/result.h"
#include "model/transformer/config.h"
#include "model/transformer/key_reader.h"

namespace shoal {

// Fills in config.rope and config.window_rope. REQUIRES config.family, head_dim and context_length
// to be there. Errors: as ReadModelConfig.
Status ReadRope(const KeyReader& keys, ModelConfig& config);

}  // namespace shoal
