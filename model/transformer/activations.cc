#include "model/transformer/activations.h"

#include <algorithm>

namespace shoal {

namespace {

constexpr int64_t kPartsPerThread = 4;  // evens out threads that share a core with others

}  // namespace

void FormatSet::Add(TensorType weights) {
  const kernels::ActivationFormat format = kernels::ActivationFormatFor(weights);
  int8_by_32 = int8_by_32 || format == kernels::ActivationFormat::kInt8By32;
  int8_by_256 = int8_by_256 || format == kernels::ActivationFormat::kInt8By256;
}

int64_t GrainFor(int64_t items, int threads, int64_t min_items) {
  if (threads == 1) return std::max<int64_t>(1, items);
  const int64_t parts = int64_t{threads} * kPartsPerThread;
  return std::max(min_items, (items + parts - 1) / parts);
}

ActivationBuffer::ActivationBuffer(const kernels::KernelTable& kernels, FormatSet formats,
                                   int64_t max_values)
    : kernels_(kernels) {
  const auto values = static_cast<size_t>(max_values);
  if (formats.int8_by_32) {
    by_32_.values.resize(values);
    by_32_.scales.resize(values / 32);
    by_32_.sums.resize(values / 32);
    by_32_.scaled_sums.resize(values / 32);
  }
  if (formats.int8_by_256) {
    by_256_.values.resize(values);
    by_256_.scales.resize(values / 256);
    by_256_.sums.resize(values / 32);
    by_256_.sums16.resize(values / 16);
  }
}

void ActivationBuffer::Start(const float* rows, int64_t cols, FormatSet formats) {
  CHECK(!formats.int8_by_32 || cols % 32 == 0, "rows are whole blocks");
  CHECK(!formats.int8_by_256 || cols % 256 == 0, "rows are whole blocks");
  rows_ = rows;
  cols_ = cols;
  formats_ = formats;
}

void ActivationBuffer::QuantizeRow(int64_t row) {
  const int64_t at = row * cols_;
  if (formats_.int8_by_32) {
    kernels_.quantize_by_32(rows_ + at, cols_, by_32_.values.data() + at,
                            by_32_.scales.data() + at / 32, by_32_.sums.data() + at / 32,
                            by_32_.scaled_sums.data() + at / 32);
  }
  if (formats_.int8_by_256) {
    kernels_.quantize_by_256(rows_ + at, cols_, by_256_.values.data() + at,
                             by_256_.scales.data() + at / 256, by_256_.sums.data() + at / 32,
                             by_256_.sums16.data() + at / 16);
  }
}

kernels::Activations ActivationBuffer::View(TensorType weights, int64_t first_row) const {
  const int64_t at = first_row * cols_;
  switch (kernels::ActivationFormatFor(weights)) {
    case kernels::ActivationFormat::kInt8By32:
      return {.values = by_32_.values.data() + at,
              .scales = by_32_.scales.data() + at / 32,
              .sums = by_32_.sums.data() + at / 32,
              .scaled_sums = by_32_.scaled_sums.data() + at / 32};
    case kernels::ActivationFormat::kInt8By256:
      return {.values = by_256_.values.data() + at,
              .scales = by_256_.scales.data() + at / 256,
              .sums = by_256_.sums.data() + at / 32,
              .sums16 = by_256_.sums16.data() + at / 16};
    case kernels::ActivationFormat::kF32: break;
  }
  return {.f32 = rows_ + at};
}

int64_t ActivationBuffer::bytes() const {
  int64_t sum = 0;
  for (const Quantized* q : {&by_32_, &by_256_}) {
    sum += static_cast<int64_t>(
        q->values.size() + q->scales.size() * sizeof(float) + q->sums.size() * sizeof(int32_t) +
        q->scaled_sums.size() * sizeof(float) + q->sums16.size() * sizeof(int16_t));
  }
  return sum;
}

}  // namespace shoal
