// The planner's view of a model, read from its GGUF file.
#pragma once

#include "base/result.h"
#include "model/gguf/gguf_file.h"
#include "partitioner/problem.h"

namespace shoal {

// Bytes by layer from the tensors' names ("blk.N."), KV bytes from the metadata. Errors: no
// architecture, layers or head counts in the file, or a tensor of a layer that does not exist.
Result<ModelShape> ReadModelShape(const GgufFile& file, TensorType kv_type);

// What one token of one session costs: every layer's weights and the head, and of experts those
// that a token is routed to.
struct TokenCost {
  int64_t weight_bytes = 0;  // read
  int64_t macs = 0;          // multiply-adds with weights; attention comes on top
};
Result<TokenCost> ReadTokenCost(const GgufFile& file);

// How many tokens the model knows: the rows of its embedding.
Result<int32_t> ReadVocabSize(const GgufFile& file);

// The context length the model was trained for.
Result<int32_t> ReadContextLength(const GgufFile& file);

}  // namespace shoal
