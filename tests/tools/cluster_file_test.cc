// Proves the cluster file: what each key means, by small files; that a written cluster reads as the
// same; that every wrong file is refused with file, line and key; and that the examples in deploy/
// and the conversion of EdgeShard's profile say what they should.
#include "tools/cluster_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "partitioner/strategy.h"
#include "tools/device_library.h"
#include "tools/model_shapes.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr double kGibBytes = 1024.0 * 1024 * 1024;

Cluster Parsed(const std::string& text) {
  Result<ClusterFile> file = ParseClusterFile(text, "test.toml");
  EXPECT_TRUE(file.ok()) << file.error().message;
  return file.ok() ? std::move(file->cluster) : Cluster();
}

std::string Refusal(const std::string& text) {
  const Result<ClusterFile> file = ParseClusterFile(text, "test.toml");
  return file.ok() ? "accepted" : file.error().message;
}

const std::string kTwo = R"(
[[device]]
name = "a"
memory_gib = 2
speed = [{ gb_per_s = [10] }]
[[device]]
name = "b"
memory_gib = 4
network = "wifi5"
speed = [{ type = "Q4_K", tokens = [1, 8], gb_per_s = [10, 5] }, { gb_per_s = [3] }]
attention_decode_gmacs_per_s = 2
matrix_us = 3
layer_us = 4
step_us = 5
busy_watts = 6
idle_watts = 0.5
)";

TEST(ClusterFile, ReadsDevicesInTheirUnits) {
  const Cluster cluster = Parsed(kTwo);
  ASSERT_EQ(cluster.device_count(), 2);
  const DeviceProfile& b = cluster.devices[1];
  EXPECT_EQ(b.name, "b");
  EXPECT_EQ(b.memory_bytes, int64_t{4} << 30);
  ASSERT_EQ(b.speeds.size(), 2U);
  EXPECT_EQ(b.speeds[0], (TypeSpeed{"Q4_K", {{1, 10e9}, {8, 5e9}}}));
  EXPECT_EQ(b.speeds[1], (TypeSpeed{"*", {{1, 3e9}}}));
  EXPECT_DOUBLE_EQ(b.attention_decode_macs_per_s, 2e9);
  EXPECT_DOUBLE_EQ(b.matrix_s, 3e-6);
  EXPECT_DOUBLE_EQ(b.layer_s, 4e-6);
  EXPECT_DOUBLE_EQ(b.step_s, 5e-6);
  EXPECT_DOUBLE_EQ(b.busy_watts, 6);
  EXPECT_DOUBLE_EQ(b.idle_watts, 0.5);
}

TEST(ClusterFile, CountsProfilesAndOverridesThem) {
  const Cluster cluster = Parsed(
      "[[device]]\nname = \"pi\"\ncount = 3\nprofile = \"raspberry-pi-5-8gb\"\n"
      "memory_gib = 1.5\n");
  ASSERT_EQ(cluster.device_count(), 3);
  EXPECT_EQ(cluster.devices[0].name, "pi-1");
  EXPECT_EQ(cluster.devices[2].name, "pi-3");
  EXPECT_EQ(cluster.devices[2].memory_bytes, 3 << 29);
  EXPECT_FALSE(cluster.devices[2].source.empty());
  EXPECT_GT(cluster.devices[2].speeds[0].batches[0].bytes_per_s, 1e9);
}

// gigabit 0.2 ms and 940 Mbit/s, wifi5 2.5 ms and 400 Mbit/s for all on it.
TEST(ClusterFile, LinksFollowTheNetworksOfTheirEnds) {
  const Cluster cluster = Parsed(kTwo);
  EXPECT_DOUBLE_EQ(cluster.link(0, 1).latency_s, (0.2e-3 + 2.5e-3) / 2);
  EXPECT_DOUBLE_EQ(cluster.link(0, 1).bytes_per_s, 400e6 / 8);
  EXPECT_DOUBLE_EQ(cluster.link(0, 2).bytes_per_s, 940e6 / 8);
  const Cluster wireless =
      Parsed("network = \"wifi5\"\n[[device]]\nname = \"p\"\ncount = 2\nprofile = \"apple-m1\"\n");
  EXPECT_DOUBLE_EQ(wireless.link(0, 1).bytes_per_s, 400e6 / 8 / 2);  // they share the air
}

TEST(ClusterFile, LinksAreOverriddenAndTheCoordinatorSharesThoseOfItsMachine) {
  const Cluster cluster = Parsed("coordinator = \"a\"\n" + kTwo + R"(
[[device]]
name = "c"
profile = "apple-m1"
[[link]]
between = ["a", "b"]
latency_ms = 7
mbit_per_s = 80
[[link]]
from = "c"
to = "a"
usable = false
[[link]]
from = "coordinator"
to = "c"
latency_ms = 9
)");
  EXPECT_DOUBLE_EQ(cluster.link(0, 1).latency_s, 7e-3);
  EXPECT_DOUBLE_EQ(cluster.link(1, 0).bytes_per_s, 1e7);
  EXPECT_FALSE(cluster.link(2, 0).usable);
  EXPECT_TRUE(cluster.link(0, 2).usable);
  const int32_t coordinator = cluster.coordinator();
  EXPECT_EQ(cluster.link(coordinator, 1), cluster.link(0, 1));
  EXPECT_FALSE(cluster.link(2, coordinator).usable);
  EXPECT_DOUBLE_EQ(cluster.link(coordinator, 2).latency_s, 9e-3);
  EXPECT_LT(cluster.link(coordinator, 0).latency_s, 1e-4);  // the same machine
}

TEST(ClusterFile, ErrorsHaveFileLineAndKey) {
  const std::string device = "[[device]]\nname = \"a\"\nprofile = \"apple-m1\"\n";
  const auto refused = [&](const std::string& text, const std::string& where,
                           const std::string& what) {
    EXPECT_THAT(Refusal(text), AllOf(HasSubstr("test.toml:" + where), HasSubstr(what)));
  };
  refused("x = [\n", "", "");
  refused("\nspeed = 1\n", "2: speed", "unknown key");
  refused(device + "memry_gib = 1\n", "4: device[0].memry_gib", "unknown key");
  refused(device + "memory_gib = -1\n", "4: device[0].memory_gib", "-1");
  refused(device + "memory_gib = nan\n", "4: device[0].memory_gib", "nan");
  refused(device + "step_us = inf\n", "4: device[0].step_us", "inf");
  refused(device + "memory_gib = \"much\"\n", "4: device[0].memory_gib", "number");
  refused(device + "count = 1.5\n", "4: device[0].count", "whole number");
  refused(device + "count = 100000\n", "4: device[0].count", "100000");
  refused(device + "network = \"5g\"\n", "4: device[0].network", "5g");
  refused("[[device]]\nname = \"a\"\nprofile = \"cray\"\n", "3: device[0].profile", "cray");
  refused("[[device]]\nprofile = \"apple-m1\"\n", "1: device[0].name", "missing");
  refused("[[device]]\nname = \"a\"\nmemory_gib = 1\n", "1: device[0].speed", "missing");
  refused("[[device]]\nname = \"a\"\nspeed = [{gb_per_s = [1]}]\n", "1: device[0].memory_gib",
          "missing");
  refused(device + device, "5: device[1].name", "a is taken");
  refused("[[device]]\nname = \"coordinator\"\nprofile = \"apple-m1\"\n", "2: device[0].name",
          "taken");
  refused(device + "speed = [{gb_per_s = [0]}]\n", "4: device[0].speed[0].gb_per_s", "0");
  refused(device + "speed = [{tokens = [4, 2], gb_per_s = [1, 1]}]\n",
          "4: device[0].speed[0].tokens", "ascend");
  refused(device + "speed = [{tokens = [4, 8], gb_per_s = [1]}]\n",
          "4: device[0].speed[0].gb_per_s", "1 speeds");
  refused("coordinator = \"z\"\n" + device, "1: coordinator", "z");
  refused(device + "[[link]]\nbetween = [\"a\", \"z\"]\n", "5: link[0].between", "z");
  refused(device + "[[link]]\nbetween = [\"a\", \"a\"]\n", "5: link[0].between", "different");
  refused(device + "[[link]]\nfrom = \"a\"\n", "4: link[0].between", "expected");
  refused(device + "[[link]]\nbetween = [\"a\", \"coordinator\"]\nmbit_per_s = 0\n",
          "6: link[0].mbit_per_s", "0");
  refused("[networks.x]\nlatency_ms = 1\n", "1: networks.x.mbit_per_s", "missing");
  refused("network = \"x\"\n", "1: network", "x");
  refused("[model]\nlayer_gib = [1, 1]\nactivation_kib = [1]\n", "3: model.activation_kib", "2");
  EXPECT_THAT(Refusal("title = \"empty\"\n"), HasSubstr("no devices"));
  EXPECT_EQ(ReadClusterFile("/nowhere.toml").error().code, ErrorCode::kNotFound);
}

bool Near(double a, double b) { return std::abs(a - b) <= 1e-11 * std::abs(b); }

bool SameLink(const LinkProfile& a, const LinkProfile& b) {
  return a.usable == b.usable &&
         (!a.usable || (Near(a.latency_s, b.latency_s) && Near(a.latency_p95_s, b.latency_p95_s) &&
                        Near(a.bytes_per_s, b.bytes_per_s)));
}

rc::Gen<Cluster> AnyCluster() {
  return rc::gen::exec([] {
    const auto number = [](double most) {
      return most * *rc::gen::inRange(1, 1'000'000) / 1'000'003.0;
    };
    std::vector<DeviceProfile> devices;
    const auto count = *rc::gen::inRange(1, 6);
    for (int i = 0; i < count; ++i) {
      DeviceProfile device;
      device.name = fmt::format("de\"vice\\ {}", i);
      device.memory_bytes = *rc::gen::inRange<int64_t>(1, int64_t{1} << 38);
      device.speeds = {{"*", {{1, number(1e11)}, {7, number(1e11)}}}};
      device.attention_decode_macs_per_s = number(1e10);
      device.elementwise_values_per_s = number(1e10);
      device.matrix_s = number(1e-5);
      device.step_s = number(1e-3);
      device.busy_watts = number(100);
      if (*rc::gen::inRange(0, 3) == 0) device.given_layer_s = {number(1e-2), number(1e-2)};
      devices.push_back(device);
    }
    Cluster cluster = UniformCluster(std::move(devices), {.latency_s = 1e-3, .bytes_per_s = 1e8});
    for (LinkProfile& link : cluster.links) {
      if (*rc::gen::inRange(0, 3) == 0) continue;
      link = {*rc::gen::inRange(0, 5) > 0, number(1e-2), number(1e-1), number(1e9)};
    }
    return cluster;
  });
}

RC_GTEST_PROP(ClusterFileProperty, AWrittenClusterReadsAsTheSame, ()) {
  const Cluster cluster = *rc::gen::noShrink(AnyCluster());
  const std::string text = WriteCluster(cluster, "a \"title\"");
  const Result<ClusterFile> file = ParseClusterFile(text, "written.toml");
  RC_ASSERT(file.ok());
  RC_ASSERT(file->title == "a \"title\"");
  RC_ASSERT(file->cluster.device_count() == cluster.device_count());
  for (size_t i = 0; i < cluster.devices.size(); ++i) {
    const DeviceProfile& wrote = cluster.devices[i];
    const DeviceProfile& read = file->cluster.devices[i];
    RC_ASSERT(read.name == wrote.name);
    RC_ASSERT(read.memory_bytes == wrote.memory_bytes);
    RC_ASSERT(Near(read.speeds[0].batches[1].bytes_per_s, wrote.speeds[0].batches[1].bytes_per_s));
    RC_ASSERT(Near(read.matrix_s, wrote.matrix_s));
    RC_ASSERT(Near(read.step_s, wrote.step_s));
    RC_ASSERT(read.given_layer_s.size() == wrote.given_layer_s.size());
  }
  for (int32_t from = 0; from < cluster.endpoint_count(); ++from) {
    for (int32_t to = 0; to < cluster.endpoint_count(); ++to) {
      if (from != to) RC_ASSERT(SameLink(file->cluster.link(from, to), cluster.link(from, to)));
    }
  }
  RC_ASSERT(WriteCluster(file->cluster, "a \"title\"") == text);
}

Cluster Example(const std::string& name) {
  const Result<ClusterFile> file =
      ReadClusterFile(std::string(SHOAL_TEST_DATA) + "/../../deploy/clusters/" + name + ".toml");
  EXPECT_TRUE(file.ok()) << file.error().message;
  return file.ok() ? file->cluster : Cluster();
}

TEST(ClusterExamples, AreReadAndHoldAModel) {
  for (const auto& [name, devices] : {std::pair("four-pis", 4), std::pair("laptop-and-phones", 3),
                                      std::pair("office", 12), std::pair("edge-gateway", 41)}) {
    PlanProblem problem;
    problem.cluster = Example(name);
    EXPECT_EQ(problem.cluster.device_count(), devices) << name;
    problem.model = *NamedShape("8b-q4_k", TensorType::kF16);
    const Result<Plan> plan = MakeEdgeShardLatency()->Place(problem);
    EXPECT_TRUE(plan.ok()) << name << ": " << plan.error().message;
  }
}

TEST(DeviceLibrary, EveryProfileSaysWhereItIsFrom) {
  const Result<DeviceLibrary> library = BuiltInDeviceLibrary();
  ASSERT_TRUE(library.ok()) << library.error().message;
  EXPECT_GE(library->profiles.size(), 12U);
  for (const auto& [name, profile] : library->profiles) {
    const bool known = profile.source.starts_with("published: ") ||
                       profile.source.starts_with("measured: ") ||
                       profile.source.starts_with("bandwidth: ");
    EXPECT_TRUE(known) << name << ": " << profile.source;
    EXPECT_GT(profile.memory_bytes, 0) << name;
    EXPECT_FALSE(profile.speeds.empty()) << name;
  }
}

// deploy/clusters/edgeshard.toml is the conversion of the copy of their data that lies beside us.
TEST(EdgeShardProfile, IsConvertedAsTheScriptSays) {
  const Result<ClusterFile> file =
      ReadClusterFile(std::string(SHOAL_TEST_DATA) + "/../../deploy/clusters/edgeshard.toml");
  ASSERT_TRUE(file.ok()) << file.error().message;
  std::ifstream stream(std::string(SHOAL_TEST_DATA) + "/edgeshard-llama2-7b.json");
  const nlohmann::json data = nlohmann::json::parse(stream);
  const Cluster& cluster = file->cluster;
  ASSERT_EQ(cluster.devices.size(), data["devices"].size());
  ASSERT_TRUE(file->model);
  const size_t layers = data["model"]["layers"];
  ASSERT_EQ(file->model->layers.size(), layers + 1);  // and the output's way back
  for (size_t i = 0; i < cluster.devices.size(); ++i) {
    const auto& published = data["devices"][i];
    EXPECT_EQ(cluster.devices[i].name, published["name"]);
    EXPECT_NEAR(static_cast<double>(cluster.devices[i].memory_bytes),
                published["memory_gb"].get<double>() * 1.2 * kGibBytes, 1);
    ASSERT_EQ(cluster.devices[i].given_layer_s.size(), layers + 1);
    for (size_t layer = 0; layer < layers; ++layer) {
      EXPECT_DOUBLE_EQ(cluster.devices[i].given_layer_s[layer],
                       published["layer_ms"][layer].get<double>() * 1e-3);
    }
    EXPECT_EQ(cluster.devices[i].given_layer_s[layers], 0);
  }
  EXPECT_EQ(file->model->layers[0].activation_bytes, 65536);
  EXPECT_EQ(file->model->layers[layers - 1].activation_bytes, 512000);
  EXPECT_DOUBLE_EQ(cluster.link(0, 1).bytes_per_s, 950e6 / 8);
  EXPECT_DOUBLE_EQ(cluster.link(4, 0).bytes_per_s, 10e6 / 8);
  EXPECT_DOUBLE_EQ(cluster.link(4, 0).latency_s, 2.1e-3);
}

// Their own program's answer (run once on this data) and that of an exhaustive search are the same:
// 55.640528 ms, on nx-0, an AGX, the RTX 3090, the other AGX, and nx-0 again.
TEST(EdgeShardProfile, TheirDynamicProgramFindsTheirLatency) {
  const Result<ClusterFile> file =
      ReadClusterFile(std::string(SHOAL_TEST_DATA) + "/../../deploy/clusters/edgeshard.toml");
  ASSERT_TRUE(file.ok());
  PlanProblem problem;
  problem.cluster = file->cluster;
  problem.model = *file->model;
  problem.constraints.first = problem.constraints.last = 0;
  const Result<Plan> plan = MakeEdgeShardLatency()->Place(problem);
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_NEAR(plan->prediction.decode_s, 55.640528e-3, 1e-6);
  ASSERT_EQ(plan->stages.size(), 5U);
  EXPECT_EQ(plan->stages[2].device, 4);
  EXPECT_EQ(plan->stages[2].layers.size(), 29);
}

}  // namespace
}  // namespace shoal
