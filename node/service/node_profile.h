// The profile of this node as its peers get it: from the cache folder if it is there and fresh,
// else measured and kept there. The gate for what a peer asks to have measured.
//
// Thread rule: MeasureNode belongs to the thread that owns the pool; the rest is safe from any.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "node/profile.h"
#include "proto/control.pb.h"

namespace shoal {

constexpr int64_t kProfileFreshS = int64_t{30} * 24 * 3600;

struct ProfileOrder {
  LayerDims dims;
  std::vector<TensorType> types;  // ascending; none: CommonTypes()
  bool refresh = false;
};

// Errors (kInvalidArgument, kUnimplemented): dims that no model has, a type unknown or named twice.
Result<ProfileOrder> ReadProfileRequest(const v1::ProfileRequest& request);

// Where and as what this node measures.
struct ProfilePlace {
  std::string hardware;      // what the processor is called
  int64_t memory_bytes = 0;  // of the machine
  int threads = 1;
  std::string cache_folder;  // empty: nothing is remembered
  std::string model_path;    // whose disk is measured; empty: the cache folder's
};

// What a profile is of: two keys that differ in hardware, instruction set, build, threads or layer
// differ.
std::string ProfileKey(const ProfilePlace& place, kernels::Isa isa, const LayerDims& dims);

// What the cache has of this key and every one of the types, if it is less than kProfileFreshS old
// at `now_unix_s` (and not from the future). A damaged entry counts as none.
std::optional<v1::ProfileMessage> FindProfile(const std::string& cache_folder,
                                              const std::string& key,
                                              const std::vector<TensorType>& types,
                                              int64_t now_unix_s);
// Replaces what the cache has of profile.key(). That it cannot be written only costs the time to
// measure again.
void KeepProfile(const std::string& cache_folder, const v1::ProfileMessage& profile);

// Measures `order` and what the cache has of other types for the same key, and keeps it. Errors: as
// MeasureCompute.
Result<v1::ProfileMessage> MeasureNode(const kernels::KernelTable& kernels, ThreadPool& pool,
                                       const ProfileOrder& order, const ProfilePlace& place,
                                       const Clock& clock, int64_t now_unix_s,
                                       const std::function<bool(int32_t, int32_t)>& progress);

// This machine, for ProfilePlace.
ProfilePlace PlaceHere(int threads, std::string cache_folder, std::string model_path);

// Fills in what changes from minute to minute: memory, cores, battery, temperature.
void AddPresentState(int64_t memory_bytes, v1::ProfileMessage& profile);

}  // namespace shoal
