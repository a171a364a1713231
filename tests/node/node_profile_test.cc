// Proves what a node remembers of its measurements: by hardware, build, threads and layer, for 30
// days, on a clock that the test moves; and what it refuses to measure.
#include "node/service/node_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "node/compute_profiler.h"
#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kNow = 1'700'000'000;
constexpr int64_t kDayS = 24 * 3600;

ProfilePlace SomePlace() { return {"a processor", int64_t{8} << 30, 2, "", ""}; }

v1::ProfileMessage SomeProfile() {
  v1::ProfileMessage profile;
  profile.set_key(ProfileKey(SomePlace(), kernels::Isa::kReference, {}));
  profile.set_measured_unix_s(kNow);
  profile.set_step_s(1e-5);
  for (const TensorType type : {TensorType::kF32, TensorType::kQ4_0}) {
    v1::TypeRateMessage& rate = *profile.add_types();
    rate.set_type(static_cast<uint32_t>(type));
    rate.add_batches()->set_tokens(1);
  }
  return profile;
}

class NodeProfileTest : public ::testing::Test {
 protected:
  std::optional<v1::ProfileMessage> Find(int64_t now, const std::vector<TensorType>& types = {}) {
    return FindProfile(dir_.path(), SomeProfile().key(), types, now);
  }
  TempDir dir_;
};

TEST_F(NodeProfileTest, WhatWasKeptIsFoundFor30Days) {
  EXPECT_FALSE(Find(kNow).has_value());
  KeepProfile(dir_.path(), SomeProfile());
  const auto found = Find(kNow);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->SerializeAsString(), SomeProfile().SerializeAsString());
  EXPECT_TRUE(Find(kNow + 30 * kDayS - 1).has_value());
  EXPECT_FALSE(Find(kNow + 30 * kDayS).has_value());
  EXPECT_FALSE(Find(kNow - 1).has_value()) << "from the future: one of the clocks is wrong";
}

TEST_F(NodeProfileTest, EveryTypeAskedForMustBeThere) {
  KeepProfile(dir_.path(), SomeProfile());
  EXPECT_TRUE(Find(kNow, {TensorType::kQ4_0, TensorType::kF32}).has_value());
  EXPECT_FALSE(Find(kNow, {TensorType::kQ4_0, TensorType::kQ6_K}).has_value());
}

TEST_F(NodeProfileTest, KeysDifferInEverythingThatSpeedDependsOn) {
  std::set<std::string> keys;
  const auto add = [&](const ProfilePlace& place, kernels::Isa isa, const LayerDims& dims) {
    EXPECT_TRUE(keys.insert(ProfileKey(place, isa, dims)).second);
  };
  add(SomePlace(), kernels::Isa::kReference, {});
  ProfilePlace other = SomePlace();
  other.hardware = "another processor";
  add(other, kernels::Isa::kReference, {});
  other = SomePlace();
  other.memory_bytes /= 2;
  add(other, kernels::Isa::kReference, {});
  other = SomePlace();
  other.threads = 1;
  add(other, kernels::Isa::kReference, {});
  add(SomePlace(), kernels::Isa::kAvx2, {});
  for (int32_t LayerDims::*field : {&LayerDims::model_dim, &LayerDims::heads, &LayerDims::kv_heads,
                                    &LayerDims::head_dim, &LayerDims::ffn_dim}) {
    LayerDims dims;
    ++(dims.*field);
    add(SomePlace(), kernels::Isa::kReference, dims);
  }
  LayerDims dims;
  dims.kv_type = TensorType::kQ8_0;
  add(SomePlace(), kernels::Isa::kReference, dims);
}

TEST_F(NodeProfileTest, DamagedOrForeignEntriesCountAsNone) {
  KeepProfile(dir_.path(), SomeProfile());
  const std::filesystem::path entry =
      std::filesystem::directory_iterator(dir_.path() + "/profiles")->path();
  for (const char* text : {"", "{", "[]", "{\"key\": 7}", "{\"key\": \"another\"}",
                           "{\"stepS\": \"NaN\", \"unknown\": 1}"}) {
    std::ofstream(entry, std::ios::trunc) << text;
    EXPECT_FALSE(Find(kNow).has_value()) << text;
  }
}

TEST_F(NodeProfileTest, WithoutAFolderNothingIsRemembered) {
  KeepProfile("", SomeProfile());
  EXPECT_FALSE(FindProfile("", SomeProfile().key(), {}, kNow).has_value());
}

TEST_F(NodeProfileTest, RequestsThatMakeNoSenseAreRefused) {
  const auto refused = [](auto change, const std::string& says) {
    v1::ProfileRequest request;
    change(request);
    const Result<ProfileOrder> order = ReadProfileRequest(request);
    ASSERT_FALSE(order.ok()) << says;
    EXPECT_THAT(order.error().message, HasSubstr(says));
  };
  const Result<ProfileOrder> common = ReadProfileRequest({});
  ASSERT_TRUE(common.ok()) << common.error().message;
  EXPECT_EQ(common->types, CommonTypes());
  EXPECT_EQ(common->dims, LayerDims());
  refused([](v1::ProfileRequest& request) { request.add_types(77); }, "type 77 (unknown)");
  refused(
      [](v1::ProfileRequest& request) {
        request.add_types(2);
        request.add_types(2);
      },
      "Q4_0 stands there twice");
  refused([](v1::ProfileRequest& request) { request.mutable_dims()->set_model_dim(64); },
          "ffn_dim is 0");
  refused([](v1::ProfileRequest& request) { request.mutable_dims()->set_kv_type(1000); },
          "type 1000");
}

// The whole way, on a layer that takes no time.
TEST_F(NodeProfileTest, MeasuresOnceAndAddsTypesLater) {
  ThreadPool pool(1);
  ProfilePlace place = SomePlace();
  place.cache_folder = dir_.path();
  ProfileOrder order;
  order.dims = {64, 1, 1, 64, 64, TensorType::kF16};
  order.types = {TensorType::kF32};
  const kernels::KernelTable& kernels = kernels::TableFor(kernels::Isa::kReference);
  const auto measure = [&] {
    return MeasureNode(kernels, pool, order, place, SteadyClock(), kNow,
                       [](int32_t, int32_t) { return true; });
  };
  const auto first = measure();
  ASSERT_TRUE(first.ok()) << first.error().message;
  EXPECT_EQ(first->types_size(), 1);
  EXPECT_GT(first->memory_bytes_per_s(), 0);
  EXPECT_GT(first->disk_read_bytes_per_s(), 0);
  const std::string key = ProfileKey(place, kernels::Isa::kReference, order.dims);
  EXPECT_TRUE(FindProfile(dir_.path(), key, order.types, kNow).has_value());
  order.types = {TensorType::kQ8_0};
  const auto second = measure();
  ASSERT_TRUE(second.ok()) << second.error().message;
  EXPECT_TRUE(
      FindProfile(dir_.path(), key, {TensorType::kF32, TensorType::kQ8_0}, kNow).has_value());
}

}  // namespace
}  // namespace shoal
