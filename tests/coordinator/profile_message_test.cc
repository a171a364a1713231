// Proves the gate for what nodes say they measured: every field arrives, and numbers that would
// make a cost infinite or senseless are refused with the device and the field named.
#include "coordinator/service/profile_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

namespace shoal {
namespace {

using ::testing::HasSubstr;

v1::ProfileMessage SomeProfile() {
  v1::ProfileMessage message;
  message.set_hardware("a processor");
  message.set_threads(2);
  message.set_isa("avx2");
  v1::TypeRateMessage& type = *message.add_types();
  type.set_type(static_cast<uint32_t>(TensorType::kQ4_0));
  for (const int32_t tokens : {1, 2}) {
    v1::BatchRateMessage& batch = *type.add_batches();
    batch.set_tokens(tokens);
    batch.set_bytes_per_s(1e9 * tokens);
  }
  message.set_attention_decode_macs_per_s(1);
  message.set_attention_prefill_macs_per_s(2);
  message.set_elementwise_values_per_s(3);
  message.set_matrix_s(4);
  message.set_layer_s(5);
  message.set_step_s(6);
  message.set_memory_bytes(7);
  return message;
}

TEST(ProfileMessage, EveryFieldArrives) {
  const Result<DeviceProfile> device = DeviceFromMessage("pi", SomeProfile());
  ASSERT_TRUE(device.ok()) << device.error().message;
  DeviceProfile expected;
  expected.name = "pi";
  expected.hardware = "a processor, 2 threads, avx2";
  expected.memory_bytes = 7;
  expected.speeds = {{"Q4_0", {{1, 1e9}, {2, 2e9}}}};
  expected.attention_decode_macs_per_s = 1;
  expected.attention_prefill_macs_per_s = 2;
  expected.elementwise_values_per_s = 3;
  expected.matrix_s = 4;
  expected.layer_s = 5;
  expected.step_s = 6;
  EXPECT_EQ(*device, expected);
}

TEST(ProfileMessage, NumbersThatMakeNoSenseAreRefused) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  const auto refused = [](auto change, const std::string& says) {
    v1::ProfileMessage message = SomeProfile();
    change(message);
    const Result<DeviceProfile> device = DeviceFromMessage("pi", message);
    ASSERT_FALSE(device.ok()) << says;
    EXPECT_EQ(device.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(device.error().message, HasSubstr("pi: "));
    EXPECT_THAT(device.error().message, HasSubstr(says));
  };
  for (const double bad : {kNan, kInfinite, -1.0}) {
    refused([&](auto& m) { m.set_matrix_s(bad); }, "matrix_s");
    refused([&](auto& m) { m.set_layer_s(bad); }, "layer_s");
    refused([&](auto& m) { m.set_step_s(bad); }, "step_s");
    refused([&](auto& m) { m.set_elementwise_values_per_s(bad); }, "elementwise_values_per_s");
    refused([&](auto& m) { m.set_attention_decode_macs_per_s(bad); }, "attention_decode");
    refused([&](auto& m) { m.set_attention_prefill_macs_per_s(bad); }, "attention_prefill");
    refused([&](auto& m) { m.mutable_types(0)->mutable_batches(0)->set_bytes_per_s(bad); },
            "bytes_per_s");
  }
  refused([](auto& m) { m.mutable_types(0)->mutable_batches(1)->set_tokens(1); }, "ascend");
  refused([](auto& m) { m.mutable_types(0)->set_type(77); }, "type 77");
  refused([](auto& m) { m.clear_types(); }, "no speed");
  refused([](auto& m) { m.mutable_types(0)->clear_batches(); }, "no measurement");
  refused([](auto& m) { m.set_memory_bytes(-1); }, "memory_bytes");
  refused(
      [](auto& m) {
        for (int i = 0; i < 65; ++i) *m.add_types() = m.types(0);
      },
      "types: 66 of at most 64");
}

TEST(ProfileMessage, LinksThatMakeNoSenseAreRefused) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(CheckMeasurement({1e-3, 2e-3, 1e8, 0}, "pi").ok());
  EXPECT_FALSE(CheckMeasurement({kNan, 2e-3, 1e8, 1e8}, "pi").ok());
  EXPECT_FALSE(CheckMeasurement({-1, 2e-3, 1e8, 1e8}, "pi").ok());
  EXPECT_FALSE(CheckMeasurement({1e-3, kNan, 1e8, 1e8}, "pi").ok());
  EXPECT_FALSE(CheckMeasurement({1e-3, 2e-3, -1, 1e8}, "pi").ok());
  EXPECT_FALSE(CheckMeasurement({1e-3, 2e-3, 1e8, kNan}, "pi").ok());
}

TEST(ProfileMessage, TargetsAskForTheirLayerAndTypes) {
  v1::ProfileRequest request;
  TargetToMessage({}, request);
  EXPECT_FALSE(request.has_dims());
  EXPECT_EQ(request.types_size(), 0);
  TargetToMessage({64, 4, 2, 16, 128, TensorType::kQ8_0, {TensorType::kQ4_0}}, request);
  EXPECT_EQ(request.dims().model_dim(), 64);
  EXPECT_EQ(request.dims().heads(), 4);
  EXPECT_EQ(request.dims().kv_heads(), 2);
  EXPECT_EQ(request.dims().head_dim(), 16);
  EXPECT_EQ(request.dims().ffn_dim(), 128);
  EXPECT_EQ(request.dims().kv_type(), 8U);
  ASSERT_EQ(request.types_size(), 1);
  EXPECT_EQ(request.types(0), 2U);
}

}  // namespace
}  // namespace shoal
