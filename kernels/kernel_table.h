// The arithmetic of a transformer on plain pointers: one table of functions per instruction set.
// The `reference` table is scalar and *defines the bits*; every other table gives exactly the same
// bits for the same input (promise 1), for any number of tokens and any split into row ranges.
//
// How that holds:
// - Integer dot products are exact in any order; a block's dot product is one int32.
// - Each output (one row, one token) has its own float accumulator, starts at +0 and takes its
//   blocks in order of k. Vector lanes are rows or tokens, never parts of one sum.
// - fma only where written here ("fma(a, b, c)" is one rounding); everything else rounds after
//   every operation, nearest even. No fast-math, -ffp-contract=off.
// - A sum that must be spread (norms) is 16 partial sums: partial[i % 16] takes element i in order,
//   then s[j] = p[j] + p[j+8] (j<8), t[j] = s[j] + s[j+4] (j<4), u[j] = t[j] + t[j+2] (j<2), u0 +
//   u1.
// - Inputs that are not finite give unspecified values, never undefined behaviour.
//
// Thread rule: the functions are pure; a table is immutable. Pointers need no alignment unless
// stated. Inputs and outputs do not overlap unless stated. Shapes are row-major, last index
// fastest. No function allocates.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/isa.h"
#include "model/gguf/tensor_type.h"

namespace shoal::kernels {

// How a matmul wants its activations.
enum class ActivationFormat {
  kF32,        // as they are: F32, F16 and BF16 weights
  kInt8By32,   // int8 with one scale per 32 values: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL, MXFP4
  kInt8By256,  // int8 with one scale per 256 values: the K-quants, other IQ types and TQ types
};
ActivationFormat ActivationFormatFor(TensorType weights);

// Blocks of smaller values are quantized to zeros: 127 / a would overflow.
constexpr float kSmallestQuantized = 0x1p-120F;

// Quantized activations of several tokens. Per block of B (32 or 256) values with a = max |x|:
//   scale = a / 127, inverse = a >= kSmallestQuantized ? 127 / a : 0,
//   value = round-to-nearest-even(x * inverse), in [-127, 127]
struct Activations {
  const float* f32 = nullptr;          // [tokens, cols], kF32 only
  const int8_t* values = nullptr;      // [tokens, cols]
  const float* scales = nullptr;       // [tokens, cols / B]
  const int32_t* sums = nullptr;       // [tokens, cols / 32] sum of each 32 values
  const float* scaled_sums = nullptr;  // [tokens, cols / 32] scale * float(sum); kInt8By32 only
  const int16_t* sums16 = nullptr;     // [tokens, cols / 16] sum of each 16 values; kInt8By256 only
};

// A weight matrix [rows, cols] in GGUF's own block format, rows one after another, or packed.
struct WeightMatrix {
  TensorType type = TensorType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;  // a whole number of blocks
  const std::byte* data =
      nullptr;          // row-major: RowBytes(type, cols) * rows; packed: 64-byte aligned
  bool packed = false;  // in the table's own layout, made by its pack()
};

// How keys and values are kept. f16 is the default; f32 takes twice the memory and is there to hold
// logits against references that were computed with an f32 cache; q8_0 takes about half of f16's.
enum class KvType : uint8_t { kF16, kF32, kQ8_0 };

// In kQ8_0 the values of one position and head share a scale by blocks of this many dimensions; the
// last block may be shorter.
constexpr int32_t kKvBlock = 32;
inline int32_t KvBlocks(int32_t head_dim) { return (head_dim + kKvBlock - 1) / kKvBlock; }

// One key or value in a page, without its share of a scale.
inline int64_t KvTypeBytes(KvType type) {
  switch (type) {
    case KvType::kF16: return 2;
    case KvType::kF32: return 4;
    case KvType::kQ8_0: return 1;
  }
  return 0;
}

struct AttentionShape {
  int32_t heads = 0;
  int32_t kv_heads = 0;  // divides heads; query head h uses kv head h / (heads / kv_heads)
  int32_t head_dim = 0;  // at most kMaxHeadDim
  float scale = 0;       // q is multiplied by it (one rounding) before the dot products
  KvType kv_type = KvType::kF16;
  int32_t window = 0;            // a query sees this many last keys, its own among them; 0: all
  float softcap = 0;             // scores are bent into (-softcap, softcap); 0: they are not
  const float* sinks = nullptr;  // [heads] a score that takes weight but has no value; null: none
};
constexpr int32_t kMaxHeadDim = 512;

// KV pages: kKvPageTokens consecutive positions of one layer. Positions are absolute: page p holds
// [p * kKvPageTokens, (p + 1) * kKvPageTokens). In a page, for each kv head in turn, in the shape's
// kv_type:
//   K  [head_dim][kKvPageTokens]   transposed, so that vector lanes are keys
//   V  [kKvPageTokens][head_dim]
// and for kQ8_0, whose K and V are int8, then their f16 scales:
//   K scales  [KvBlocks(head_dim)][kKvPageTokens]
//   V scales  [kKvPageTokens][KvBlocks(head_dim)]
// Pages are zeroed when they are made and 64-byte aligned.
constexpr int32_t kKvPageTokens = 32;
inline int64_t KvHeadPageBytes(const AttentionShape& shape) {
  const int64_t scales =
      shape.kv_type == KvType::kQ8_0 ? KvBlocks(shape.head_dim) * int64_t{sizeof(uint16_t)} : 0;
  return 2 * kKvPageTokens * (shape.head_dim * KvTypeBytes(shape.kv_type) + scales);
}
inline int64_t KvPageBytes(const AttentionShape& shape) {
  return shape.kv_heads * KvHeadPageBytes(shape);
}

struct KernelTable {
  Isa isa;

  // One token's x [cols] to values [cols], scales, sums (and scaled_sums) as in Activations.
  // REQUIRES cols % 32 == 0.
  void (*quantize_by_32)(const float* x, int64_t cols, int8_t* values, float* scales, int32_t* sums,
                         float* scaled_sums);
  // REQUIRES cols % 256 == 0.
  void (*quantize_by_256)(const float* x, int64_t cols, int8_t* values, float* scales,
                          int32_t* sums, int16_t* sums16);

  // Bytes of the packed form of a matrix, or 0 if this table computes `type` row-major.
  int64_t (*packed_bytes)(TensorType type, int64_t rows, int64_t cols);
  // Packs rows [row_begin, row_end) of row-major `from` into `to` (packed_bytes, 64-byte aligned).
  // REQUIRES row_begin % kRowUnit == 0, and row_end % kRowUnit == 0 or row_end == rows.
  void (*pack)(const WeightMatrix& from, int64_t row_begin, int64_t row_end, std::byte* to);

  // out[t * out_stride + r] = sum over k of weights[r, k] * x[t, k], for rows [row_begin, row_end)
  // and t in [0, tokens). Per block b of the row, in order (d, m: the block's scale and minimum as
  // f32, see kernels/quant_blocks.h; a: the activation scale; dot: the int32 dot product of quants
  // and int8 values):
  //   F32, F16, BF16     acc = fma(w[k], x[k], acc) for each k in order
  //   Q8_0, Q4_0, Q5_0,  acc = fma(d * a, float(dot), acc)      offsets (-8, -16) inside dot
  //   IQ4_NL, MXFP4
  //   Q4_1, Q5_1         acc = fma(d * a, float(dot), acc); acc = fma(m, scaled_sum, acc)
  //   Q2_K, Q4_K, Q5_K   acc = fma(d * a, float(sum_j sc_j * dot_j), acc);
  //                      acc = fma(-(dmin * a), float(sum_j m_j * actsum_j), acc)
  //   Q3_K, Q6_K, IQ*,   acc = fma(d * a, float(sum_j sc_j * dot_j), acc)
  //   TQ*
  // with j the sub-blocks, sc_j and m_j their integer scales and minima, and the sums over j int32.
  // REQUIRES row_begin % kRowUnit == 0, and row_end % kRowUnit == 0 or row_end == rows.
  void (*matmul)(const WeightMatrix& weights, const Activations& x, int64_t tokens,
                 int64_t row_begin, int64_t row_end, float* out, int64_t out_stride);

  // out[i] = (x[i] * (1 / sqrt(sum(x^2) / n + epsilon))) * weight[i]; sum of squares by fma into
  // the 16 partial sums: p = fma(x[i], x[i], p). `out` may be `x`.
  void (*rms_norm)(const float* x, const float* weight, int64_t n, float epsilon, float* out);
  // mean = sum(x) / n; variance = sum((x - mean)^2) / n; inverse = 1 / sqrt(variance + epsilon);
  // out[i] = fma((x[i] - mean) * inverse, weight[i], bias[i]). Both sums by the 16 partial sums, of
  // squares with p = fma(x[i] - mean, x[i] - mean, p). `out` may be `x`.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, int64_t n,
                     float epsilon, float* out);

  // x[i] += y[i]
  void (*add)(float* x, const float* y, int64_t n);
  // x[i] = fma(factor, y[i], x[i])
  void (*add_scaled)(float* x, float factor, const float* y, int64_t n);
  // x[i] *= factor
  void (*multiply)(float* x, float factor, int64_t n);
  // x[i] = TanhF(x[i] * (1 / cap)) * cap; 1 / cap is rounded once.
  void (*soft_cap)(float* x, float cap, int64_t n);
  // x[i] = ExpF((x[i] - max) / temperature)
  void (*softmax_numerators)(float* x, float max, float temperature, int64_t n);

  // gate[i] = (gate[i] / (1 + ExpF(-gate[i]))) * up[i]
  void (*silu_multiply)(float* gate, const float* up, int64_t n);
  // x[i] = Gelu(x[i]), the form with tanh (Hendrycks & Gimpel 2016):
  //   t = TanhF((x * kGeluLinear) * fma(x * kGeluCubic, x, 1));  h = 0.5 * x;  Gelu(x) = fma(h, t,
  //   h)
  void (*gelu)(float* x, int64_t n);
  // gate[i] = Gelu(gate[i]) * up[i]
  void (*gelu_multiply)(float* gate, const float* up, int64_t n);
  // gpt-oss: g = min(gate[i], kSwigluLimit); u = min(max(up[i], -kSwigluLimit), kSwigluLimit);
  //   gate[i] = (g / (1 + ExpF(-(g * kSwigluSlope)))) * (u + 1)
  void (*clamped_swiglu)(float* gate, const float* up, int64_t n);

  // Rotates the first rope_dim values of each head of x [heads, head_dim] in place by the angles of
  // one position; cos, sin [rope_dim / 2]. Pair i is (2i, 2i+1) for rope_adjacent (llama) and
  // (i, i + rope_dim/2) for rope_halves (NeoX, qwen):
  //   a' = fma(a, cos, -(b * sin));  b' = fma(a, sin, b * cos)
  void (*rope_adjacent)(float* x, const float* cos, const float* sin, int32_t heads,
                        int32_t head_dim, int32_t rope_dim);
  void (*rope_halves)(float* x, const float* cos, const float* sin, int32_t heads, int32_t head_dim,
                      int32_t rope_dim);

  // Writes one token's k and v [kv_heads, head_dim] into its slot [0, kKvPageTokens) of a page:
  // rounded to f16 (nearest even), as they are for kF32, or for kQ8_0 per block of kKvBlock values
  // with a = max |x|:
  //   scale = f16(a / 127), inverse = a >= kSmallestQuantized ? 127 / a : 0,
  //   value = round-to-nearest-even(x * inverse), in [-127, 127]
  void (*store_kv)(const AttentionShape& shape, const float* k, const float* v, std::byte* page,
                   int32_t slot);

  // Causal attention of `tokens` new queries over the cached keys and values of one layer, for the
  // query heads of one kv head.
  //   q    [tokens, heads, head_dim]   queries, RoPE applied
  //   pages                            of one session and layer; hold [0, first_position + tokens)
  //   out  [tokens, heads, head_dim]   the values of kv_head's query heads are overwritten
  // Query t sits at position p = first_position + t and sees the keys j <= p with p - j < window.
  // A key or value of kQ8_0 is float(scale) * float(quant), exact. Per query head, with
  // qs[d] = q[d] * scale, m = -inf, l = 0, o[d] = 0, for each page with visible keys in order (keys
  // that are not visible take no part: p[j] is +0 in the sums, o skips them):
  //   s[j]  = fma over d in order: s = fma(qs[d], float(K[d][j]), s), from +0
  //   s[j]  = TanhF(s[j] * (1 / softcap)) * softcap, if there is a softcap; 1 / softcap rounded
  //   once m'    = max(m, max_j s[j]);  c = ExpF(m - m') (0 for the first page);  p[j] = ExpF(s[j]
  //   - m') l     = fma(l, c, sum of p over j by 16 partial sums, absent keys counting 0) o[d]  =
  //   o[d] * c, then o[d] = fma(p[j], float(V[j][d]), o[d]) for j in order m     = m'
  // then, with the head's sink b if there are sinks:
  //   m'    = max(m, b);  c = ExpF(m - m');  l = fma(l, c, ExpF(b - m'));  o[d] = o[d] * c
  // and out = o[d] / l. Each query depends only on its own row and the cache, never on `tokens`.
  // Source: Milakov & Gimelshein 2018; Dao et al. 2022.
  void (*attend)(const AttentionShape& shape, const float* q, int64_t tokens,
                 int64_t first_position, const std::byte* const* pages, int32_t kv_head,
                 float* out);
};

constexpr float kGeluLinear = 0.7978845608F;  // sqrt(2 / pi)
constexpr float kGeluCubic = 0.044715F;
constexpr float kSwigluLimit = 7.0F;
constexpr float kSwigluSlope = 1.702F;

// matmul and pack work on whole groups of this many rows.
constexpr int64_t kRowUnit = 16;

// REQUIRES isa to be one of SupportedIsas().
const KernelTable& TableFor(Isa isa);

}  // namespace shoal::kernels
