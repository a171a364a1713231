// Proves how a pipeline knows that its nodes are there, with a node that does what the test says.
#include "coordinator/service/remote_pipeline.h"

#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "base/clock.h"
#include "net/channel.h"
#include "proto/control.grpc.pb.h"
#include "proto/pipeline.grpc.pb.h"
#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

constexpr int kPatienceMs = 20'000;  // for what must come

// A number that only grows, and whoever waits for it.
class Count {
 public:
  void Add() {
    const std::lock_guard lock(mutex_);
    ++value_;
    changed_.notify_all();
  }
  int value() {
    const std::lock_guard lock(mutex_);
    return value_;
  }
  bool WaitFor(int at_least, int timeout_ms = kPatienceMs) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                             [&] { return value_ >= at_least; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int value_ = 0;
};

// A node of one stage: answers heartbeats, and sends results when it is told to.
class StandIn final : public v1::NodeControl::Service, public v1::Pipeline::Service {
 public:
  explicit StandIn(const Address& address) {
    grpc::ServerBuilder builder;
    int port = 0;
    ConfigureServer(builder, address, nullptr, &port);
    builder.RegisterService(static_cast<v1::NodeControl::Service*>(this));
    builder.RegisterService(static_cast<v1::Pipeline::Service*>(this));
    server_ = builder.BuildAndStart();
  }

  void Stop() { server_->Shutdown(std::chrono::system_clock::now()); }

  void SendResult() {
    const std::lock_guard lock(mutex_);
    v1::LinkMessage message;
    message.mutable_result()->set_epoch(kEpoch.value);
    message.mutable_result()->set_last(true);
    EXPECT_TRUE(results_ != nullptr && results_->Write(message));
  }

  void Say(const std::optional<StageProgress>& progress) {
    const std::lock_guard lock(mutex_);
    progress_ = progress;
  }

  static constexpr Epoch kEpoch{7};
  Count heartbeats;

 private:
  grpc::Status Watch(grpc::ServerContext*,
                     grpc::ServerReaderWriter<v1::NodeEvent, v1::Heartbeat>* stream) override {
    v1::Heartbeat heartbeat;
    while (stream->Read(&heartbeat)) {
      heartbeats.Add();
      v1::NodeEvent event;
      event.set_heartbeat(heartbeat.sequence());
      const std::lock_guard lock(mutex_);
      if (progress_) {
        v1::StageProgress& said = *event.mutable_progress();
        said.set_received(progress_->received);
        said.set_sent(progress_->sent);
        said.set_waiting_ms(progress_->waiting_ms);
        said.set_since_send_ms(progress_->since_send_ms);
      }
      stream->Write(event);
    }
    return grpc::Status::OK;
  }

  grpc::Status Link(grpc::ServerContext*,
                    grpc::ServerReaderWriter<v1::LinkMessage, v1::LinkMessage>* stream) override {
    v1::LinkMessage hello;
    stream->Read(&hello);
    v1::LinkMessage ready;
    ready.mutable_ready();
    if (hello.hello().role() == v1::LINK_ROLE_RESULTS) {
      const std::lock_guard lock(mutex_);
      results_ = stream;
    }
    stream->Write(ready);
    v1::LinkMessage more;
    while (stream->Read(&more)) {
    }
    const std::lock_guard lock(mutex_);
    if (results_ == stream) results_ = nullptr;
    return grpc::Status::OK;
  }

  std::unique_ptr<grpc::Server> server_;
  grpc::Status Connect(grpc::ServerContext*, const v1::ConnectRequest*,
                       v1::ConnectReply*) override {
    return grpc::Status::OK;
  }

  std::mutex mutex_;  // guards the next two
  std::optional<StageProgress> progress_;
  grpc::ServerReaderWriter<v1::LinkMessage, v1::LinkMessage>* results_ = nullptr;
};

class Results final : public PipelineListener {
 public:
  void OnResult(StepResult) override { count.Add(); }
  void OnLost(Epoch, Error) override {}
  Count count;
};

// A pipeline that is up, with a stage on each of the nodes of these names.
class PipelineTest : public ::testing::Test {
 protected:
  explicit PipelineTest(const std::vector<std::string>& names) {
    PipelineOrder order;
    order.epoch = StandIn::kEpoch;
    order.plan.stages.resize(names.size());
    order.codecs.resize(names.size());
    std::vector<std::unique_ptr<NodeLink>> links;
    for (size_t i = 0; i < names.size(); ++i) {
      order.plan.stages[i].device = static_cast<int32_t>(i);
      const Address address{dir_.path() + "/" + names[i], "", 0};
      nodes_.push_back(std::make_unique<StandIn>(address));
      links.push_back(std::make_unique<NodeLink>(MeshNode{names[i], address, {}}, clock_));
    }
    pipeline_ = std::make_unique<RemotePipeline>(std::move(links), order, clock_,
                                                 [this] { broken_.Add(); });
    EXPECT_FALSE(pipeline_->Watch());
    EXPECT_FALSE(pipeline_->Link());
    pipeline_->Start(results_);
  }
  ~PipelineTest() override {
    pipeline_.reset();
    for (const auto& node : nodes_) node->Stop();
  }

  TempDir dir_;
  FakeClock clock_;
  Count broken_;
  Results results_;
  std::vector<std::unique_ptr<StandIn>> nodes_;
  std::unique_ptr<RemotePipeline> pipeline_;
};

class RemotePipelineTest : public PipelineTest {
 protected:
  RemotePipelineTest() : PipelineTest({"desk"}) {}
  StandIn* const node_ = nodes_[0].get();
};

TEST_F(RemotePipelineTest, HeartbeatsSayThatANodeIsThere) {
  clock_.AdvanceNs(10 * kNsPerS);
  for (int i = 0; i < 20 && pipeline_->heard_ns(0) < clock_.NowNs(); ++i) {
    EXPECT_TRUE(node_->heartbeats.WaitFor(node_->heartbeats.value() + 1));
  }
  EXPECT_EQ(pipeline_->heard_ns(0), clock_.NowNs());
}

TEST_F(RemotePipelineTest, AResultSaysSoTooAndSparesHeartbeats) {
  clock_.AdvanceNs(10 * kNsPerS);
  node_->SendResult();
  ASSERT_TRUE(results_.count.WaitFor(1));
  EXPECT_EQ(pipeline_->heard_ns(0), clock_.NowNs());

  const int sent = node_->heartbeats.value();  // and one may be on its way
  EXPECT_FALSE(node_->heartbeats.WaitFor(sent + 2, 4 * kHeartbeatMs));
  clock_.AdvanceNs(kHeartbeatMs * kNsPerMs);
  EXPECT_TRUE(node_->heartbeats.WaitFor(sent + 2));
}

TEST_F(RemotePipelineTest, ALossIsToldAtOnce) {
  EXPECT_FALSE(pipeline_->Lost());
  EXPECT_EQ(broken_.value(), 0);
  node_->Stop();
  ASSERT_TRUE(broken_.WaitFor(1));
  EXPECT_TRUE(pipeline_->Lost());
}

// As the engine does while the loss is looked into.
TEST_F(RemotePipelineTest, StepsAfterALossAreRefusedOneByOne) {
  node_->Stop();
  ASSERT_TRUE(broken_.WaitFor(1));
  Status sent = OkStatus();
  for (int i = 0; i < 1000 && sent.ok(); ++i) sent = pipeline_->Submit(Step{});
  EXPECT_FALSE(sent.ok());
  EXPECT_FALSE(pipeline_->Submit(Step{}).ok());
}

// Two stages whose nodes say what a test has them say.
class TwoStagesTest : public PipelineTest {
 protected:
  TwoStagesTest() : PipelineTest({"a", "b"}) {}

  static StageProgress Sent(uint64_t steps) { return {steps, 0, steps, 0, 9000, 9000}; }
  static StageProgress Received(uint64_t steps) { return {steps, 0, 0, 0, 9000, 0}; }
  void WaitForHeartbeats(int more) {
    for (const auto& node : nodes_) {
      ASSERT_TRUE(node->heartbeats.WaitFor(node->heartbeats.value() + more));
    }
  }
};

TEST_F(TwoStagesTest, AStepThatDoesNotComeIsALostLink) {
  nodes_[0]->Say(Sent(3));
  nodes_[1]->Say(Received(3));
  WaitForHeartbeats(3);
  EXPECT_EQ(broken_.value(), 0);
  nodes_[1]->Say(Received(2));
  ASSERT_TRUE(broken_.WaitFor(1));
  const std::optional<PipelineLoss> lost = pipeline_->Lost();
  ASSERT_TRUE(lost);
  EXPECT_EQ(lost->between, std::pair(0, 1));
  EXPECT_EQ(lost->node, -1);
  pipeline_->Cancel();
  EXPECT_EQ(pipeline_->Lost()->between, std::pair(0, 1)) << "the end does not hide the cause";
}

TEST_F(TwoStagesTest, WhatWasSaidLongAgoCountsNoMore) {
  nodes_[1]->Say(Received(2));
  WaitForHeartbeats(2);
  nodes_[1]->Say(std::nullopt);
  WaitForHeartbeats(2);
  clock_.AdvanceNs(kNsPerS);  // it may have got its step meanwhile
  nodes_[0]->Say(Sent(3));
  WaitForHeartbeats(4);
  EXPECT_EQ(broken_.value(), 0);
  nodes_[1]->Say(Received(2));
  EXPECT_TRUE(broken_.WaitFor(1));
}

}  // namespace
}  // namespace shoal
