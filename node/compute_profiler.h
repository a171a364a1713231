// Measures how fast this device computes a model's layers: with the node's own kernels and threads,
// through the code that runs a stage's layers. The terms are those of the cost model
// (partitioner/cost_model.h), taken apart so that they add up again to the layers measured:
//
//   layer_s + 7 * matrix_s   a layer so small that its arithmetic counts for nothing
//   attention                the same layers with many cached positions and with none
//   elementwise              the kernels of norms, activations, rotation and sums alone
//   weights                  what is left of whole layers of each type, for 1 to 256 tokens
//   step_s                   how much longer a step takes on threads that have slept
//
// Tokens of 1 to 32 are as many sessions' that decode; more are one session's prompt.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "node/profile.h"

namespace shoal {

struct ComputeProfileOptions {
  LayerDims dims;
  std::vector<TensorType> types;
  int32_t most_tokens = 256;                 // the largest batch to measure
  int64_t weight_bytes = int64_t{96} << 20;  // to hold for it: more than caches do
  double budget_s = 0.025;                   // of one measurement, about
  // All is measured so often, from one end to the other, and the medians count: other work on the
  // machine comes in bursts longer than one measurement.
  int32_t rounds = 3;
};

// Types to measure when no model says which: those of most published files.
std::vector<TensorType> CommonTypes();

// Takes about options.budget_s times rounds, types and batches. `progress(done, total)` is called
// between measurements and returns false to give up (kCancelled). Errors: kResourceExhausted (no
// memory). A type so slow that a batch takes much longer than the budget is measured up to that
// batch. REQUIRES rounds >= 1 and dims within LayerDims' limits (CheckLayerDims).
Result<ComputeProfile> MeasureCompute(const kernels::KernelTable& kernels, ThreadPool& pool,
                                      const ComputeProfileOptions& options, const Clock& clock,
                                      const std::function<bool(int32_t, int32_t)>& progress);

// Errors (kInvalidArgument, naming the field and the value): what no model has.
Status CheckLayerDims(const LayerDims& dims);

}  // namespace shoal
