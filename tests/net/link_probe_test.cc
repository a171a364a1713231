// Proves that a link is measured over a real channel on this machine, that latency added by a proxy
// shows in full, and that the answering side keeps its limits against messages that break them.
// Only lower bounds of time are tested: a busy machine may take longer, never less.
#include "net/link_probe.h"

#include <gmock/gmock.h>
#include <grpcpp/server.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "net/channel.h"
#include "tests/net/test_credentials.h"
#include "tests/support/delay_proxy.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kInstance = 42;

class ProbedService final : public v1::Pipeline::Service {
 public:
  explicit ProbedService(int64_t budget_bytes) : budget_bytes_(budget_bytes) {}
  grpc::Status Probe(grpc::ServerContext* context, ProbeServerStream* stream) override {
    return server_.Serve(*context, *stream, budget_bytes_);
  }

 private:
  const int64_t budget_bytes_;
  ProbeServer server_{kInstance};
};

class LinkProbeTest : public ::testing::Test {
 protected:
  explicit LinkProbeTest(int64_t budget_bytes = kProbeBudgetBytes) : service_(budget_bytes) {
    grpc::ServerBuilder builder;
    int port = 0;
    ConfigureServer(builder, {"", "127.0.0.1", 0}, mesh_.server(), &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    port_ = static_cast<uint16_t>(port);
  }
  ~LinkProbeTest() override { server_->Shutdown(std::chrono::system_clock::now()); }

  ProbeTarget Target(uint16_t port) const {
    return {"peer", {"", "127.0.0.1", port}, mesh_.trust(), kInstance};
  }

  // One stream of raw messages: the first, then `message`; how it ends.
  grpc::Status Send(v1::ProbeMessage message) {
    const auto stub = v1::Pipeline::NewStub(MakeChannel({"", "127.0.0.1", port_}, mesh_.trust()));
    grpc::ClientContext context;
    const auto stream = stub->Probe(&context);
    v1::ProbeMessage first;
    first.set_instance(kInstance);
    stream->Write(first);
    stream->Write(message);
    stream->WritesDone();
    v1::ProbeMessage reply;
    while (stream->Read(&reply)) ++replies_;
    return stream->Finish();
  }

  SteadyClock clock_;
  TestCredentials mesh_;
  ProbedService service_;
  std::unique_ptr<grpc::Server> server_;
  uint16_t port_ = 0;
  int replies_ = 0;
};

TEST_F(LinkProbeTest, MeasuresBothDirections) {
  const Result<LinkMeasurement> link = ProbeLink(Target(port_), clock_);
  ASSERT_TRUE(link.ok()) << link.error().message;
  EXPECT_GT(link->round_trip_s, 0);
  EXPECT_GE(link->round_trip_p95_s, link->round_trip_s);
  EXPECT_GT(link->send_bytes_per_s, 0);
  EXPECT_GT(link->receive_bytes_per_s, 0);
}

TEST_F(LinkProbeTest, AddedDelayShowsInTheRoundTrip) {
  constexpr std::chrono::milliseconds kDelay(15);
  const auto proxy = DelayProxy::Start(kDelay, 0, "127.0.0.1", port_);
  ASSERT_TRUE(proxy.ok()) << proxy.error().message;
  const Result<LinkMeasurement> link = ProbeLink(Target((*proxy)->port()), clock_);
  ASSERT_TRUE(link.ok()) << link.error().message;
  EXPECT_GE(link->round_trip_s, 0.030);
  EXPECT_GE(link->round_trip_p95_s, 0.030);
  EXPECT_GT(link->send_bytes_per_s, 0);
}

TEST_F(LinkProbeTest, AnotherNodeAtTheAddressIsNotMeasured) {
  ProbeTarget target = Target(port_);
  target.instance = kInstance + 1;
  const Result<LinkMeasurement> link = ProbeLink(target, clock_);
  ASSERT_FALSE(link.ok());
  EXPECT_EQ(link.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(link.error().message, HasSubstr("peer: this is not the node that was meant"));
}

TEST_F(LinkProbeTest, OneProbeAtATime) {
  const auto stub = v1::Pipeline::NewStub(MakeChannel({"", "127.0.0.1", port_}, mesh_.trust()));
  v1::ProbeMessage message;
  {
    grpc::ClientContext context;
    const auto stream = stub->Probe(&context);
    message.set_instance(kInstance);
    message.set_replies(1);
    ASSERT_TRUE(stream->Write(message) && stream->Read(&message));
    const Result<LinkMeasurement> refused = ProbeLink(Target(port_), clock_);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
    stream->WritesDone();
    EXPECT_TRUE(stream->Finish().ok());
  }
  const Result<LinkMeasurement> link = ProbeLink(Target(port_), clock_);
  EXPECT_TRUE(link.ok()) << link.error().message;
}

TEST_F(LinkProbeTest, MessagesOutsideTheLimitsAreRefused) {
  const auto refused = [&](auto change, grpc::StatusCode code, const std::string& says) {
    v1::ProbeMessage message;
    change(message);
    const grpc::Status status = Send(message);
    EXPECT_EQ(status.error_code(), code);
    EXPECT_THAT(status.error_message(), HasSubstr(says));
  };
  EXPECT_TRUE(Send({}).ok());
  refused([](auto& m) { m.set_payload(std::string(kProbePayloadBytes + 1, 'x')); },
          grpc::INVALID_ARGUMENT, "payload bytes: 65537");
  refused([](auto& m) { m.set_replies(-1); }, grpc::INVALID_ARGUMENT, "replies: -1");
  refused([](auto& m) { m.set_replies(kMaxProbeReplies + 1); }, grpc::INVALID_ARGUMENT,
          "replies: 1025");
  refused([](auto& m) { m.set_reply_bytes(kProbePayloadBytes + 1); }, grpc::INVALID_ARGUMENT,
          "reply_bytes: 65537");
  refused([](auto& m) { m.set_reply_bytes(-1); }, grpc::INVALID_ARGUMENT, "reply_bytes: -1");
  replies_ = 0;
  refused(
      [](auto& m) {
        m.set_replies(kMaxProbeReplies);
        m.set_reply_bytes(kProbePayloadBytes);
      },
      grpc::RESOURCE_EXHAUSTED, "33554432 bytes");
  EXPECT_EQ(replies_, 0) << "nothing is sent of what exceeds the budget";
}

TEST_F(LinkProbeTest, NobodyThereIsAnErrorThatNamesTheAddress) {
  server_->Shutdown();
  const Result<LinkMeasurement> link = ProbeLink(Target(port_), clock_);
  ASSERT_FALSE(link.ok());
  EXPECT_THAT(link.error().message, HasSubstr("peer at 127.0.0.1:"));
}

class ServingLinkProbeTest : public LinkProbeTest {
 protected:
  ServingLinkProbeTest() : LinkProbeTest(kServingProbeBudgetBytes) {}
};

TEST_F(ServingLinkProbeTest, ALinkThatServesIsSparedLargeMessages) {
  const Result<LinkMeasurement> link = ProbeLink(Target(port_), clock_);
  ASSERT_TRUE(link.ok()) << link.error().message;
  EXPECT_GT(link->round_trip_s, 0);
  EXPECT_EQ(link->send_bytes_per_s, 0);
}

}  // namespace
}  // namespace shoal
