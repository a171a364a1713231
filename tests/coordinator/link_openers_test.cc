// Proves that a link between two stages comes up whichever end can dial the other, or by relay,
// over nodes that compute: a step goes through both stages each time.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/model_shape.h"
#include "coordinator/service/measure_cluster.h"
#include "coordinator/service/remote_pipeline.h"
#include "kernels/kernel_table.h"
#include "model/gguf/model_identity.h"
#include "node/service/node_service.h"
#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

constexpr const char* kModel = SHOAL_TEST_DATA "/tiny-models/tiny-qwen2.gguf";

Result<Address> AsGoodAWayAsAny(const MeshNode& /*from*/, const MeshNode& to) { return to.address; }

class LinkOpenersTest : public ::testing::Test {
 protected:
  LinkOpenersTest() {
    for (const char* name : {"a", "b"}) {
      NodeOptions options;
      options.name = name;
      options.listen.unix_path = folder_.path() + "/" + name;
      options.cache_folder = folder_.path() + "/cache-" + name;
      servers_.push_back(
          std::move(*NodeServer::Start(options, kernels::TableFor(kernels::Isa::kReference))));
      nodes_.push_back({name, options.listen, {}});
    }
  }

  // Nobody but the coordinator reaches it where it listens.
  void Hide(size_t node) {
    nodes_[node].peer_address = Address{folder_.path() + "/nowhere", "", 0};
  }

  void MakePipeline(LinkOpener planned, RelayAddress relay = {}) {
    const GgufFile file = std::move(*GgufFile::Open(kModel));
    ThreadPool pool(1);
    const int32_t layers = ReadModelShape(file, TensorType::kF16)->layer_count();
    PipelineOrder order;
    order.epoch = Epoch{++epoch_};
    order.model_path = kModel;
    order.model_identity = ModelIdentity(file, pool, "");
    order.plan.stages.resize(2);
    order.plan.stages[0].layers = {0, layers / 2};
    order.plan.stages[1].layers = {layers / 2, layers};
    order.plan.stages[1].device = 1;
    order.plan.stages[1].opener = planned;
    order.kv_tokens = 64;
    order.codecs = {{}, *ParseActivationCodec("f16")};
    order.relay = std::move(relay);
    std::vector<std::unique_ptr<NodeLink>> links;
    for (const MeshNode& node : nodes_) links.push_back(std::make_unique<NodeLink>(node, clock_));
    pipeline_ = std::make_unique<RemotePipeline>(std::move(links), order, clock_, [] {});
  }

  // Who opened it, once a step has gone through both stages; nothing: it did not come up.
  std::optional<LinkOpener> Opener() {
    std::optional<PipelineLoss> lost = pipeline_->Prepare([](const std::string&) {});
    if (!lost) lost = pipeline_->Watch();
    if (!lost) lost = pipeline_->Link();
    std::vector<int32_t> answered;
    if (!lost) lost = pipeline_->Verify(answered);
    if (lost) loss_ = *lost;
    if (lost) return std::nullopt;
    EXPECT_EQ(answered, (std::vector<int32_t>{0, 1}));
    return pipeline_->opener(1);
  }

  TempDir folder_;
  SteadyClock clock_;
  uint64_t epoch_ = 0;
  std::vector<std::unique_ptr<NodeServer>> servers_;
  std::vector<MeshNode> nodes_;
  std::unique_ptr<RemotePipeline> pipeline_;
  PipelineLoss loss_;
};

TEST_F(LinkOpenersTest, TheOneThatIsPlannedOpensIt) {
  for (const LinkOpener planned : {LinkOpener::kSender, LinkOpener::kReceiver}) {
    MakePipeline(planned);
    EXPECT_EQ(Opener(), planned) << loss_.error.message;
    pipeline_.reset();
  }
}

TEST_F(LinkOpenersTest, WhereOneEndCannotDialTheOtherDoes) {
  Hide(1);
  MakePipeline(LinkOpener::kSender);
  EXPECT_EQ(Opener(), LinkOpener::kReceiver) << loss_.error.message;
  pipeline_.reset();
  nodes_[1].peer_address.reset();
  Hide(0);
  MakePipeline(LinkOpener::kReceiver);
  EXPECT_EQ(Opener(), LinkOpener::kSender) << loss_.error.message;
}

TEST_F(LinkOpenersTest, WhereNeitherCanTheCoordinatorRelays) {
  Hide(0);
  Hide(1);
  MakePipeline(LinkOpener::kSender, AsGoodAWayAsAny);
  EXPECT_EQ(Opener(), LinkOpener::kRelay) << loss_.error.message;
}

TEST_F(LinkOpenersTest, WhereARelayWasPlannedAndIsNoneTheEndsTry) {
  MakePipeline(LinkOpener::kRelay, [](const MeshNode&, const MeshNode&) -> Result<Address> {
    return Unavailable("the hub is gone");
  });
  EXPECT_EQ(Opener(), LinkOpener::kSender) << loss_.error.message;
}

TEST_F(LinkOpenersTest, WithoutAnyWayTheLossNamesBoth) {
  Hide(0);
  Hide(1);
  MakePipeline(LinkOpener::kSender);
  EXPECT_FALSE(Opener());
  EXPECT_EQ(loss_.between, std::pair(0, 1));
  EXPECT_FALSE(loss_.relayed);
  EXPECT_NE(loss_.error.message.find("nowhere"), std::string::npos) << loss_.error.message;
}

TEST_F(LinkOpenersTest, AnEndOfALinkThatTheReceiverOpenedEndsThePlan) {
  MakePipeline(LinkOpener::kReceiver);
  ASSERT_EQ(Opener(), LinkOpener::kReceiver) << loss_.error.message;
  servers_.erase(servers_.begin() + 1);
  std::optional<PipelineLoss> lost;
  while (!lost) lost = pipeline_->Lost();
  EXPECT_EQ(lost->node, 1) << lost->error.message;
}

TEST_F(LinkOpenersTest, MeasuringFindsWhoCanDial) {
  MeasureOptions measure;
  measure.target = *ReadProfileTarget(*GgufFile::Open(kModel), TensorType::kF16);
  const auto link = [&] {
    measure.nodes = nodes_;
    const Result<Cluster> cluster = MeasureCluster(measure, clock_, [](const std::string&) {});
    CHECK(cluster.ok(), cluster.error().message);
    return cluster->link(0, 1);
  };
  EXPECT_EQ(link().opener, LinkOpener::kSender);
  Hide(1);
  const LinkProfile back = link();
  EXPECT_TRUE(back.usable);
  EXPECT_EQ(back.opener, LinkOpener::kReceiver);
  EXPECT_GT(back.bytes_per_s, 0);
  Hide(0);
  EXPECT_FALSE(link().usable);
  measure.relays = true;
  EXPECT_EQ(link().opener, LinkOpener::kRelay);
}

}  // namespace
}  // namespace shoal
