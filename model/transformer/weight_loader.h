// Finds tensors by name, checks their shapes and packs matrices for the instruction set: the parts
// of LoadWeights that know no family. First everything is found and checked, then packed: an unfit
// file is refused before the long part.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "model/gguf/gguf_file.h"
#include "model/transformer/config.h"
#include "model/transformer/weights.h"

namespace shoal {

// Matrices and vectors that it is given stay where they are until Pack has run.
class WeightLoader {
 public:
  WeightLoader(const GgufFile& file, const ModelConfig& config, const kernels::KernelTable& kernels)
      : file_(file), config_(config), kernels_(kernels) {}

  const ModelConfig& config() const { return config_; }
  bool Has(const std::string& name) const { return file_.FindTensor(name) != nullptr; }

  // Rows of a matrix that is part of a larger tensor.
  struct Part {
    int64_t first_row;
    int64_t rows;
    bool expert = false;  // read by the tokens that are routed to it only
  };

  // A tensor of exactly `shape`, fastest first. Errors: there is none, or it has another shape.
  Result<const TensorInfo*> Find(const std::string& name, const std::vector<int64_t>& shape);
  Status FindMatrix(const std::string& name, int64_t rows, int64_t cols,
                    kernels::WeightMatrix& matrix) {
    return FindPart(name, {cols, rows}, {0, rows}, matrix);
  }
  Status FindPart(const std::string& name, const std::vector<int64_t>& shape, Part part,
                  kernels::WeightMatrix& matrix);
  // Leaves `vector` empty if the file has none and it is not required.
  Status FindVector(const std::string& name, int64_t values, bool required,
                    std::vector<float>& vector);
  // One row of a tensor of shape {values, rows}.
  Status FindRow(const std::string& name, int64_t values, int64_t rows, int64_t row,
                 std::vector<float>& vector);
  // A tensor that the forward pass would ignore makes fluent nonsense, so it is refused.
  Status CheckNoOthers(std::string_view prefix) const;

  // Packs what was found, and fills in what `weights` says of bytes and formats.
  Status Pack(ThreadPool& pool, int64_t most_bytes, LoadProgress* progress, StageWeights& weights);

 private:
  struct PlannedMatrix {
    TensorInfo tensor;  // its bytes are the part's
    kernels::WeightMatrix* matrix;
    bool expert;
    int64_t packed_bytes;   // 0: stays in the file
    int64_t packed_offset;  // in the packed buffer

    int64_t file_bytes() const { return static_cast<int64_t>(tensor.bytes.size()); }
    int64_t resident_bytes() const { return packed_bytes != 0 ? packed_bytes : file_bytes(); }
  };

  void PackMatrix(const PlannedMatrix& planned, ThreadPool& pool, LoadProgress* progress,
                  std::byte* to);
  void ReleasePacked(ThreadPool& pool);

  const GgufFile& file_;
  const ModelConfig& config_;
  const kernels::KernelTable& kernels_;
  std::vector<PlannedMatrix> planned_;
  std::vector<std::span<const std::byte>> packed_;  // of the file, not yet given back
  int64_t packed_bytes_ = 0;                        // of these
  std::set<std::string, std::less<>> known_names_;
};

}  // namespace shoal
