// What this device can do at most, measured in tens of milliseconds, and what the OS says of it:
// how fast it streams weights and multiplies, how much memory is left, which processors there are.
// How fast it computes a model's layers: node/compute_profiler.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "node/cpu_topology.h"

namespace shoal {

// Bytes of Q4_0 weights per second in single-token matmuls over more memory than the caches hold:
// the best of a few passes, since other work on the machine only ever slows it down.
double MeasureWeightBytesPerS(const kernels::KernelTable& kernels, ThreadPool& pool);

// Plain reads over the same amount of memory: the bound that the figure above is held against.
double MeasureMemoryBytesPerS(ThreadPool& pool);

// int8 multiply-adds per second on registers: what prefill is held against.
double MeasureInt8MacsPerS(kernels::Isa isa, ThreadPool& pool);

// Memory the OS could give to this process now, within its control groups; 0 if it does not say.
int64_t AvailableMemoryBytes();

// Memory of the machine; 0 if the OS does not say.
int64_t TotalMemoryBytes();

// Resident memory of this process now; 0 if the OS does not say.
int64_t ResidentBytes();

// Equal for processes on one running machine, different between machines. Reveals nothing else.
std::string HostId();

// The processors that this process may run on; none if the OS does not say.
std::vector<Cpu> AllowedCpus();

// Keeps this thread, and those it starts from now on, on one processor of each performance core
// that the process may run on, and returns how many threads are worth computing with there: one
// each, within the control group's quota.
int UsePerformanceCores();

}  // namespace shoal
