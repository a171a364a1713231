// Shapes of well-known models without their files, for planning and simulation: `--shape NAME`.
// Pure functions.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/gguf/tensor_type.h"
#include "partitioner/model_shape.h"

namespace shoal {

// What ReadModelShape would say of the named model's file. All matrices of a layer have the type of
// the name; the head is Q6_K where llama.cpp's quantization makes it so. Errors: kInvalidArgument
// (lists the names there are).
Result<ModelShape> NamedShape(std::string_view name, TensorType kv_type);

struct ShapeName {
  std::string_view name;
  std::string_view model;  // that it is the shape of, for help texts
};
std::vector<ShapeName> ShapeNames();

}  // namespace shoal
