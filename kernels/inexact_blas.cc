#include "kernels/inexact_blas.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "kernels/packed_layout.h"
#include "kernels/quant_formats.h"

namespace shoal::kernels {

namespace {

// What cblas.h declares, with its enumerations' values (OpenBLAS 0.3).
constexpr int kRowMajor = 101;
constexpr int kNoTranspose = 111;
using Sgemm = void (*)(int order, int transpose_a, int transpose_b, int m, int n, int k,
                       float alpha, const float* a, int lda, const float* b, int ldb, float beta,
                       float* c, int ldc);
using SetThreads = void (*)(int threads);

struct Blas {
  Sgemm sgemm;
};

Result<Blas> LoadBlas() {
  void* library = ::dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return FailedPrecondition(fmt::format(
        "--inexact-blas needs OpenBLAS (the package libopenblas0-pthread): {}", ::dlerror()));
  }
  const auto sgemm = reinterpret_cast<Sgemm>(::dlsym(library, "cblas_sgemm"));
  const auto set_threads =
      reinterpret_cast<SetThreads>(::dlsym(library, "openblas_set_num_threads"));
  if (sgemm == nullptr || set_threads == nullptr) {
    return FailedPrecondition("libopenblas.so.0 has no cblas_sgemm or openblas_set_num_threads");
  }
  set_threads(1);  // the pool's threads share the rows already
  return Blas{sgemm};
}

const Result<Blas>& LoadedBlas() {
  static const Result<Blas> blas = LoadBlas();
  return blas;
}

// Rows [first, first + count) of packed weights as to[k * count + r].
void UnpackColumns(const WeightMatrix& weights, int64_t first, int64_t count, float* to) {
  const int64_t group_bytes = PackedGroupBytes(weights.type, weights.cols);
  for (int64_t row = 0; row < count; row += kRowUnit) {
    const std::byte* group = weights.data + (first + row) / kRowUnit * group_bytes;
    const int64_t rows = std::min(kRowUnit, count - row);
    for (int64_t k = 0; k < weights.cols; ++k) {
      float* out = to + k * count + row;
      const int64_t at = k * kRowUnit;
      if (weights.type == TensorType::kF32) {
        std::memcpy(out, group + at * sizeof(float), static_cast<size_t>(rows) * sizeof(float));
        continue;
      }
      uint16_t bits[kRowUnit];
      std::memcpy(bits, group + at * sizeof(uint16_t), sizeof(bits));
      for (int64_t r = 0; r < rows; ++r) {
        out[r] = weights.type == TensorType::kF16
                     ? HalfToFloat(bits[r])
                     : std::bit_cast<float>(static_cast<uint32_t>(bits[r]) << 16);
      }
    }
  }
}

template <Isa kIsa>
void MatMul(const WeightMatrix& weights, const Activations& x, int64_t tokens, int64_t row_begin,
            int64_t row_end, float* out, int64_t out_stride) {
  constexpr int64_t kRowsAtOnce = 256;
  if (!weights.packed || !ActivationsAreFloats(weights.type) || tokens < kLeastBlasTokens) {
    TableFor(kIsa).matmul(weights, x, tokens, row_begin, row_end, out, out_stride);
    return;
  }
  thread_local std::vector<float> columns;
  const auto cols = static_cast<int>(weights.cols);
  for (int64_t row = row_begin; row < row_end; row += kRowsAtOnce) {
    const int64_t count = std::min(kRowsAtOnce, row_end - row);
    columns.resize(static_cast<size_t>(count * weights.cols));
    UnpackColumns(weights, row, count, columns.data());
    LoadedBlas()->sgemm(kRowMajor, kNoTranspose, kNoTranspose, static_cast<int>(tokens),
                        static_cast<int>(count), cols, 1, x.f32, cols, columns.data(),
                        static_cast<int>(count), 0, out + row, static_cast<int>(out_stride));
  }
}

template <Isa kIsa>
const KernelTable& Table() {
  static const KernelTable table = [] {
    KernelTable changed = TableFor(kIsa);
    changed.matmul = MatMul<kIsa>;
    return changed;
  }();
  return table;
}

}  // namespace

Result<const KernelTable*> InexactTableFor(Isa isa) {
  if (!LoadedBlas().ok()) return LoadedBlas().error();
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx2: return &Table<Isa::kAvx2>();
    case Isa::kAvxVnni: return &Table<Isa::kAvxVnni>();
    case Isa::kAvx512Vnni: return &Table<Isa::kAvx512Vnni>();
#elif defined(__aarch64__)
    case Isa::kNeon: return &Table<Isa::kNeon>();
    case Isa::kDotProd: return &Table<Isa::kDotProd>();
    case Isa::kI8mm: return &Table<Isa::kI8mm>();
#endif
    default: break;
  }
  return FailedPrecondition(
      fmt::format("--inexact-blas: {} computes weights as they lie in the file", IsaName(isa)));
}

}  // namespace shoal::kernels
