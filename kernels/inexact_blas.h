// Prefill of F32, F16 and BF16 weights by the system's BLAS, where a user prefers its speed to the
// bits that every other table agrees on (promise 1): its sums have an order of their own, so logits
// differ in the last digits, and from one machine to another.
//
// OpenBLAS is loaded when it is asked for, so that those who do not ask need not have it, nor its
// memory and threads.
#pragma once

#include "base/result.h"
#include "kernels/kernel_table.h"

namespace shoal::kernels {

// Fewer tokens than this are computed as ever: reading the weights is what takes time then.
constexpr int64_t kLeastBlasTokens = 32;

// TableFor(isa), but for products of packed F32, F16 or BF16 weights with kLeastBlasTokens or more,
// which go to cblas_sgemm, each on the thread that calls. Its matmul allocates working memory once
// a thread. Errors (kFailedPrecondition): no OpenBLAS; an instruction set that packs no weights
// (the reference).
Result<const KernelTable*> InexactTableFor(Isa isa);

}  // namespace shoal::kernels
