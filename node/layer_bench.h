// Layers of made-up weights, run by the code that runs a stage's layers (BlockRunner), to measure
// how long they take here. Weights are of one type and lie one layer after the other, as a stage's
// do, in more memory than caches hold.
//
// Thread rule: belongs to the thread that owns the pool.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "model/transformer/aligned_buffer.h"
#include "model/transformer/block.h"
#include "node/profile.h"

namespace shoal {

// What the layer is made of once its rows are whole blocks of `type` and its weights take at most
// `most_bytes`: at least as wide as needed for that, else as it was, else halved until it fits.
LayerDims FitDims(const LayerDims& dims, TensorType type, int64_t most_bytes);

// Bytes of one layer's seven matrices as they stand in a file. REQUIRES dims of whole blocks.
int64_t LayerBytes(const LayerDims& dims, TensorType type);
// What a layer's norms, activations and sums pass over for one token: inputs and outputs of its
// matrices, as ModelShape counts them.
int64_t ElementwiseValues(const LayerDims& dims);
// Multiply-adds of attention for one token and one cached position.
int64_t AttentionMacs(const LayerDims& dims);

// `tokens` tokens, `position` of the first: one of each of as many sessions, or all of one session.
struct LayerStep {
  int32_t tokens = 1;
  bool one_session = false;
  int32_t position = 0;
};

class LayerBench {
 public:
  // As many layers as `weight_bytes` hold, at least one. `dims` need not be whole blocks. Errors:
  // no memory.
  static Result<std::unique_ptr<LayerBench>> Make(const kernels::KernelTable& kernels,
                                                  ThreadPool& pool, const LayerDims& dims,
                                                  TensorType type, int64_t weight_bytes,
                                                  const Clock& clock);

  const LayerDims& dims() const { return dims_; }
  int64_t layer_bytes() const { return LayerBytes(dims_, type_); }
  int32_t layers() const { return static_cast<int32_t>(layers_.size()); }

  // Seconds that one layer takes on average, for a step through `layers` of them: the mean of
  // passes that take about `budget_s` in all.
  // REQUIRES 1 <= layers <= layers(). Errors: no memory for the cache.
  Result<double> SecondsPerLayer(const LayerStep& step, int32_t layers, double budget_s);

  // Seconds of one parallel matrix product for one token: the first layer's attention output.
  double ProductSeconds(double budget_s);

  // How much longer a one-token step through `layers` layers takes if the threads have slept
  // before: the median difference of `rounds` pairs.
  Result<double> WakeSeconds(int32_t layers, int rounds);

 private:
  LayerBench(const kernels::KernelTable& kernels, ThreadPool& pool, const LayerDims& dims,
             TensorType type, int32_t layers, const Clock& clock);
  Status AllocateWeights();
  Result<std::vector<KvSession>> OpenSessions(const LayerStep& step);
  void Pass(const LayerStep& step, const std::vector<KvSession>& sessions, int32_t layers);

  const kernels::KernelTable& kernels_;
  const LayerDims dims_;
  const TensorType type_;
  const Clock& clock_;
  const ModelConfig config_;
  AlignedBuffer weights_;
  std::vector<LayerWeights> layers_;
  KvCache cache_;
  BlockRunner runner_;
  std::vector<float> x_;  // [MaxRows, model_dim]
};

}  // namespace shoal
