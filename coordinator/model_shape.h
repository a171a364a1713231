// The planner's view of a model, read from its GGUF file.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "model/gguf/gguf_file.h"
#include "partitioner/model_shape.h"

namespace shoal {

// Bytes by layer from the tensors' names ("blk.N."), KV bytes from the metadata. A token reads the
// share of experts' tensors ("_exps.") that the metadata says it uses. Errors: no architecture,
// layers or head counts in the file, expert counts that disagree, or a tensor of a layer that does
// not exist.
Result<ModelShape> ReadModelShape(const GgufFile& file, TensorType kv_type);

// What a device should measure before this model is planned: the layer's dimensions (of an expert,
// if there are experts) and the types of the matrices that are computed with.
struct ProfileTarget {
  int32_t model_dim = 0;
  int32_t heads = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int32_t ffn_dim = 0;
  TensorType kv_type = TensorType::kF16;
  std::vector<TensorType> types;  // ascending

  bool operator==(const ProfileTarget&) const = default;
};

// Errors: as ReadModelShape.
Result<ProfileTarget> ReadProfileTarget(const GgufFile& file, TensorType kv_type);

// How many tokens the model knows: the rows of its embedding.
Result<int32_t> ReadVocabSize(const GgufFile& file);

// The context length the model was trained for.
Result<int32_t> ReadContextLength(const GgufFile& file);

}  // namespace shoal
