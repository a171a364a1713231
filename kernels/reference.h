// The scalar kernels: the specification of every bit (kernels/kernel_table.h says what each does).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"

namespace shoal::kernels::reference {

void QuantizeBy32(const float* x, int64_t cols, int8_t* values, float* scales, int32_t* sums,
                  float* scaled_sums);
void QuantizeBy256(const float* x, int64_t cols, int8_t* values, float* scales, int32_t* sums,
                   int16_t* sums16);
int64_t PackedBytes(TensorType type, int64_t rows, int64_t cols);
void Pack(const WeightMatrix& from, int64_t row_begin, int64_t row_end, std::byte* to);
void MatMul(const WeightMatrix& weights, const Activations& x, int64_t tokens, int64_t row_begin,
            int64_t row_end, float* out, int64_t out_stride);
void RmsNorm(const float* x, const float* weight, int64_t n, float epsilon, float* out);
void Add(float* x, const float* y, int64_t n);
void SiluMultiply(float* gate, const float* up, int64_t n);
void RopeAdjacent(float* x, const float* cos, const float* sin, int32_t heads, int32_t head_dim,
                  int32_t rope_dim);
void RopeHalves(float* x, const float* cos, const float* sin, int32_t heads, int32_t head_dim,
                int32_t rope_dim);
void StoreKv(const AttentionShape& shape, const float* k, const float* v, std::byte* page,
             int32_t slot);
void Attend(const AttentionShape& shape, const float* q, int64_t tokens, int64_t first_position,
            const std::byte* const* pages, int32_t kv_head, float* out);

}  // namespace shoal::kernels::reference
