#include "partitioner/model_shape.h"

namespace shoal {

int64_t ResidentBytes(const std::vector<WeightGroup>& groups) {
  int64_t bytes = 0;
  for (const WeightGroup& group : groups) bytes += group.bytes;
  return bytes;
}

int64_t BytesPerToken(const std::vector<WeightGroup>& groups) {
  int64_t bytes = 0;
  for (const WeightGroup& group : groups) {
    bytes += group.bytes / group.experts * group.experts_used;
  }
  return bytes;
}

int64_t MacsPerToken(const std::vector<WeightGroup>& groups) {
  int64_t macs = 0;
  for (const WeightGroup& group : groups) macs += group.macs / group.experts * group.experts_used;
  return macs;
}

int64_t BytesPerToken(const ModelShape& model) {
  int64_t bytes = BytesPerToken(model.head);
  for (const LayerShape& layer : model.layers) {
    bytes += BytesPerToken(layer.weights) + layer.vector_bytes;
  }
  return bytes;
}

int64_t MacsPerToken(const ModelShape& model) {
  int64_t macs = MacsPerToken(model.head);
  for (const LayerShape& layer : model.layers) macs += MacsPerToken(layer.weights);
  return macs;
}

}  // namespace shoal
