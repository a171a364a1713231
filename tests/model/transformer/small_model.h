// Small models made in memory, whole or broken in one place, for tests of config and stage.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/gguf/gguf_file.h"
#include "model/gguf/tensor_type.h"
#include "tests/support/gguf_builder.h"

namespace shoal::testing {

// A model of 3 layers, 4 heads, 2 kv heads of 64 values, a vocabulary of 96 and every other width
// 256, so that all tensor types fit. Tests change what they like before Make.
struct SmallModel {
  explicit SmallModel(const std::string& architecture = "llama",
                      TensorType matrix_type = TensorType::kF32);

  struct Tensor {
    TensorType type = TensorType::kF32;
    std::vector<int64_t> shape;  // fastest first
  };

  // Key of the architecture's own, e.g. "block_count".
  void Set(const std::string& key, uint32_t value) { ints[architecture + "." + key] = value; }
  void SetFloat(const std::string& key, float value) { floats[architecture + "." + key] = value; }
  void SetString(const std::string& key, const std::string& value) {
    strings[architecture + "." + key] = value;
  }
  void Unset(const std::string& key) {
    ints.erase(architecture + "." + key);
    floats.erase(architecture + "." + key);
  }

  // Turns every feed-forward into `experts` of them, of which a token uses `used`.
  void UseExperts(uint32_t experts, uint32_t used);

  // Random values from a fixed seed; norms are about 1. The file owns its bytes.
  std::shared_ptr<const GgufFile> Make() const;

  std::string architecture;
  std::map<std::string, uint32_t> ints;
  std::map<std::string, float> floats;
  std::map<std::string, std::string> strings;
  std::map<std::string, Tensor> tensors;
};

}  // namespace shoal::testing
