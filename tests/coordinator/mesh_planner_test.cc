// Proves what plans make of links that are known to be broken, relayed or opened by the other end.
#include "coordinator/service/mesh_planner.h"

#include <gtest/gtest.h>

namespace shoal {
namespace {

constexpr int kNodes = 3;
constexpr double kDirectS = 1e-3;  // one way

ModelShape SixLayers() {
  ModelShape shape;
  shape.layers.assign(6, {{{"Q4_0", 1 << 20, 1 << 20, 1}}, 0, 0, 0});
  return shape;
}

std::vector<PlannedNode> Nodes() {
  std::vector<PlannedNode> nodes;
  for (int32_t member = 0; member < kNodes; ++member) {
    NodeDescription description;
    description.name = "n" + std::to_string(member);
    description.host_id = description.name;
    description.memory_bytes = 3 << 20;  // only three hold the model
    description.memory_limited = true;
    description.weight_bytes_per_s = 1e9;
    nodes.push_back({member, description});
  }
  return nodes;
}

MeshPlanner Planner() {
  PlannerOptions options;
  options.shape = SixLayers();
  return MeshPlanner(options);
}

bool AreNeighbours(const Plan& plan, int32_t one, int32_t other) {
  for (size_t stage = 1; stage < plan.stages.size(); ++stage) {
    if (std::minmax(plan.stages[stage - 1].device, plan.stages[stage].device) ==
        std::minmax(one, other)) {
      return true;
    }
  }
  return false;
}

TEST(MeshPlanner, NodesThatNothingConnectsAreNoNeighbours) {
  MeshPlanner planner = Planner();
  planner.SetLinks({{{0, 1}, std::nullopt}, {{1, 0}, std::nullopt}});
  const Result<Plan> plan = planner.MakePlan(Nodes(), true);
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_EQ(plan->stages.size(), 3U);
  EXPECT_FALSE(AreNeighbours(*plan, 0, 1));
}

TEST(MeshPlanner, APlanSaysWhoOpensEachLink) {
  MeshPlanner planner = Planner();
  std::vector<PlannedNode> nodes = Nodes();
  nodes[1].description.dials_out = true;
  Result<Plan> plan = planner.MakePlan(nodes, true);
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_EQ(plan->stages[1].opener, LinkOpener::kReceiver) << "a hub is no way then";
  EXPECT_EQ(plan->stages[2].opener, LinkOpener::kSender);
  nodes[0].description.dials_out = true;
  plan = planner.MakePlan(nodes, true);
  EXPECT_EQ(plan->stages[1].opener, LinkOpener::kSender) << "neither can do without the hub";

  planner.SetLinks({{{1, 2}, LinkOpener::kReceiver}, {{0, 1}, LinkOpener::kRelay}});
  plan = planner.MakePlan(Nodes(), true);
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_EQ(plan->stages[1].opener, LinkOpener::kRelay);
  EXPECT_EQ(plan->stages[2].opener, LinkOpener::kReceiver);
}

TEST(MeshPlanner, ARelayCostsTheWayThroughTheCoordinator) {
  MeshPlanner planner = Planner();
  const std::vector<PlannedNode> nodes = Nodes();
  DeviceProfile device;
  device.speeds = {{"*", {{1, 1e9}}}};
  Cluster cluster = UniformCluster(std::vector<DeviceProfile>(kNodes, device),
                                   {.latency_s = kDirectS, .bytes_per_s = 1e9});
  for (int32_t i = 0; i < kNodes; ++i) {
    cluster.link(i, cluster.coordinator()).latency_s = 20 * kDirectS;
    cluster.link(cluster.coordinator(), i).latency_s = 20 * kDirectS;
  }
  planner.SetMeasured(cluster, MembersOf(nodes));
  const std::vector<Placement> placements = {{0, {0, 2}}, {1, {2, 4}}, {2, {4, 6}}};
  const Result<Plan> direct = planner.Charge(nodes, placements, "");
  ASSERT_TRUE(direct.ok()) << direct.error().message;
  planner.SetLinks({{{0, 1}, LinkOpener::kRelay}});
  const Result<Plan> relayed = planner.Charge(nodes, placements, "");
  ASSERT_TRUE(relayed.ok()) << relayed.error().message;
  EXPECT_NEAR(relayed->prediction.decode_s - direct->prediction.decode_s, 39 * kDirectS, 1e-9);
}

}  // namespace
}  // namespace shoal
