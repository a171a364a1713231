// What this device can do, measured: how fast it streams quantized weights through its own kernels,
// and how much memory it has left. Takes tens of milliseconds.
#pragma once

#include <cstdint>
#include <string>

#include "base/thread_pool.h"
#include "kernels/kernel_table.h"

namespace shoal {

// Bytes of Q4_0 weights per second in single-token matmuls over more memory than the caches hold:
// the best of a few passes, since other work on the machine only ever slows it down.
double MeasureWeightBytesPerS(const kernels::KernelTable& kernels, ThreadPool& pool);

// Plain reads over the same amount of memory: the bound that the figure above is held against.
double MeasureMemoryBytesPerS(ThreadPool& pool);

// int8 multiply-adds per second on registers: what prefill is held against.
double MeasureInt8MacsPerS(kernels::Isa isa, ThreadPool& pool);

// Memory the OS could give to this process now; 0 if it does not say.
int64_t AvailableMemoryBytes();

// Resident memory of this process now; 0 if the OS does not say.
int64_t ResidentBytes();

// Equal for processes on one running machine, different between machines. Reveals nothing else.
std::string HostId();

// Keeps this thread, and those it starts from now on, on one processor of each performance core
// that the process may run on, and returns how many threads are worth computing with there: one
// each, within the control group's quota.
int UsePerformanceCores();

}  // namespace shoal
