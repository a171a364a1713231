// The inputs of matmuls: rows of f32 values, quantized in whichever formats the weights ask for.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel_table.h"

namespace shoal {

// Which activation formats a set of matrices asks for.
struct FormatSet {
  bool int8_by_32 = false;
  bool int8_by_256 = false;

  void Add(TensorType weights);
};

// How many consecutive items one part of a parallel loop takes: enough parts for `threads` to even
// out, each of at least `min_items`.
int64_t GrainFor(int64_t items, int threads, int64_t min_items);

class ActivationBuffer {
 public:
  // Room for max_values (rows * cols) of each of `formats`.
  ActivationBuffer(const kernels::KernelTable& kernels, FormatSet formats, int64_t max_values);

  // Makes the buffer hold rows of `cols` values, read from `rows` [.., cols], in `formats`; each
  // comes in with QuantizeRow. `rows` must stay as they are until the matmuls are done. REQUIRES
  // cols to be whole blocks of each format.
  void Start(const float* rows, int64_t cols, FormatSet formats);

  // Different rows may be done by different threads.
  void QuantizeRow(int64_t row);

  // The rows from `first_row` on, as a matrix of type `weights` wants them. REQUIRES its format to
  // have been started.
  kernels::Activations View(TensorType weights, int64_t first_row) const;

  int64_t bytes() const;

 private:
  // Per format; see kernels::Activations for the shapes.
  struct Quantized {
    std::vector<int8_t> values;
    std::vector<float> scales;
    std::vector<int32_t> sums;
    std::vector<float> scaled_sums;  // by 32
    std::vector<int16_t> sums16;     // by 256
  };

  const kernels::KernelTable& kernels_;
  Quantized by_32_;
  Quantized by_256_;
  const float* rows_ = nullptr;
  int64_t cols_ = 0;
  FormatSet formats_;
};

}  // namespace shoal
