// The planner's view of a model, read from its GGUF file.
#pragma once

#include "base/result.h"
#include "model/gguf/gguf_file.h"
#include "partitioner/model_shape.h"

namespace shoal {

// Bytes by layer from the tensors' names ("blk.N."), KV bytes from the metadata. A token reads the
// share of experts' tensors ("_exps.") that the metadata says it uses. Errors: no architecture,
// layers or head counts in the file, expert counts that disagree, or a tensor of a layer that does
// not exist.
Result<ModelShape> ReadModelShape(const GgufFile& file, TensorType kv_type);

// How many tokens the model knows: the rows of its embedding.
Result<int32_t> ReadVocabSize(const GgufFile& file);

// The context length the model was trained for.
Result<int32_t> ReadContextLength(const GgufFile& file);

}  // namespace shoal
