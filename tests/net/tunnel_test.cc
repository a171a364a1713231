// Proves that tunnels carry bytes whole, pass on ends and back-pressure, come back by themselves,
// and that a hub turns away what it should without harm to others: over real sockets, in one
// process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "net/tunnel/client.h"
#include "net/tunnel/hub.h"
#include "tests/net/raw_stream.h"
#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr size_t kMiB = 1 << 20;

// The node's own port: sends back what comes, and ends when the other side has.
class EchoServer {
 public:
  explicit EchoServer(const std::string& path)
      : fd_(ListenUnix(path)), thread_([this] {
          for (int fd = 0; (fd = ::accept(fd_, nullptr, nullptr)) >= 0;) {
            echoes_.push_back(std::async(std::launch::async, [fd] {
              RawStream stream(fd);
              for (std::string bytes; !(bytes = stream.ReceiveSome()).empty();) {
                if (!stream.Send(bytes)) break;
              }
            }));
          }
        }) {}
  ~EchoServer() {
    ::shutdown(fd_, SHUT_RDWR);
    thread_.join();
    ::close(fd_);
  }

 private:
  const int fd_;
  std::vector<std::future<void>> echoes_;
  std::thread thread_;
};

// Knows one proof.
class OneProof final : public TunnelAuthenticator {
 public:
  explicit OneProof(std::string proof) : proof_(std::move(proof)) {}
  Result<std::string> Prove(std::string_view /*text*/) const override { return proof_; }
  Status Verify(const TunnelPreamble& preamble, std::string_view text) const override {
    if (preamble.proof == proof_ && text.find(preamble.node) != text.npos) return OkStatus();
    return FailedPrecondition("the proof does not hold");
  }

 private:
  const std::string proof_;
};

class TunnelTest : public ::testing::Test {
 protected:
  TunnelTest() : echo_(folder_.path() + "/own") {
    spdlog::default_logger_raw();  // made before there are threads, since tsan does not see how
    StartHub();
  }

  void StartHub(uint16_t port = 0, TunnelHubLimits limits = {}) {
    hub_.reset();
    TunnelHubOptions options{{"", "127.0.0.1", port}, "home", folder_.path(), limits};
    Result<std::unique_ptr<TunnelHub>> hub = TunnelHub::Start(options, proof_);
    ASSERT_TRUE(hub.ok()) << hub.error().message;
    hub_ = std::move(*hub);
  }

  std::unique_ptr<TunnelClient> StartNode(const std::string& name, int parked,
                                          const TunnelAuthenticator& proof) {
    const TunnelClientOptions options{
        hub_->address(), "home", name, Address{folder_.path() + "/own", "", 0},
        clients_.path(), parked};
    Result<std::unique_ptr<TunnelClient>> client = TunnelClient::Start(options, proof);
    EXPECT_TRUE(client.ok());
    return std::move(*client);
  }
  std::unique_ptr<TunnelClient> StartNode(const std::string& name, int parked = 2) {
    std::unique_ptr<TunnelClient> client = StartNode(name, parked, proof_);
    WaitParked(name, parked);
    return client;
  }

  void WaitParked(const std::string& name, int count) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (hub_->parked(name) != count && std::chrono::steady_clock::now() < end) {
      std::this_thread::yield();
    }
    ASSERT_EQ(hub_->parked(name), count);
  }

  RawStream ConnectTo(const std::string& node) { return RawStream(*hub_->SocketOf(node)); }

  // What the hub answers to bytes that come behind its greeting; the stream ends after it.
  std::string AnswerTo(const std::string& bytes) {
    RawStream stream(hub_->address());
    EXPECT_EQ(stream.Receive(kGreetingBytes).size(), kGreetingBytes);
    EXPECT_TRUE(stream.Send(bytes));
    return stream.ReceiveAll();
  }

  static void ExpectEcho(RawStream& stream, size_t bytes) {
    std::string sent(bytes, '\0');
    for (size_t i = 0; i < bytes; ++i) sent[i] = static_cast<char>(i * 2654435761U >> 13U);
    std::thread sender([&] {
      EXPECT_TRUE(stream.Send(sent));
      stream.EndSending();
    });
    const std::string back = stream.ReceiveAll();
    sender.join();
    EXPECT_TRUE(back == sent) << back.size() << " bytes of " << sent.size();
  }

  TempDir folder_;
  TempDir clients_;
  OneProof proof_{"sesame"};
  EchoServer echo_;
  std::unique_ptr<TunnelHub> hub_;
};

TEST_F(TunnelTest, CarriesBytesBothWaysAndPassesOnTheEnd) {
  const auto node = StartNode("desk");
  RawStream first = ConnectTo("desk");
  RawStream second = ConnectTo("desk");
  ExpectEcho(first, 5 * kMiB);
  ExpectEcho(second, 1);
  WaitParked("desk", 2);  // others took their places
}

TEST_F(TunnelTest, RelaysToANodeThatItIsToldWhereToDial) {
  const auto phone = StartNode("phone");
  const auto desk = StartNode("desk");
  hub_->RelayTo("phone", "rack", {folder_.path() + "/own", "", 0});
  RawStream stream(*phone->RelayTo("rack"));
  ExpectEcho(stream, kMiB);
  EXPECT_EQ(RawStream(*desk->RelayTo("rack")).ReceiveAll(), "") << "that is for the phone";
  hub_->RelayTo("phone", "gone", {folder_.path() + "/nobody", "", 0});
  EXPECT_EQ(RawStream(*phone->RelayTo("gone")).ReceiveAll(), "");
}

TEST_F(TunnelTest, RelaysFromOneNodeToAnother) {
  const auto desk = StartNode("desk");
  const auto phone = StartNode("phone");
  RawStream stream(*phone->RelayTo("desk"));
  ExpectEcho(stream, 3 * kMiB);
  EXPECT_EQ(hub_->parked("phone"), 2);
}

TEST_F(TunnelTest, AnUnknownNodeIsAnEndAtOnce) {
  const auto desk = StartNode("desk");
  EXPECT_EQ(ConnectTo("nobody").ReceiveAll(), "");
  EXPECT_EQ(RawStream(*desk->RelayTo("nobody")).ReceiveAll(), "");
  const std::vector<std::string> none = {"", "../desk", ".desk", "a b", std::string(65, 'x')};
  for (const std::string& name : none) {
    EXPECT_FALSE(hub_->SocketOf(name).ok()) << name;
    EXPECT_FALSE(desk->RelayTo(name).ok()) << name;
  }
}

TEST_F(TunnelTest, ASlowReaderHoldsUpItsWriter) {
  const auto node = StartNode("desk");
  RawStream stream = ConnectTo("desk");
  // The echo comes back as long as buffers have room, as nobody reads it.
  const size_t taken = stream.SendWithoutWaiting(256 * kMiB);
  EXPECT_LT(taken, 64 * kMiB);
  EXPECT_EQ(stream.Receive(taken).size(), taken);
}

TEST_F(TunnelTest, ACutIsTheEndOfItAndTheNodeComesBack) {
  auto node = StartNode("desk");
  RawStream stream = ConnectTo("desk");
  ASSERT_TRUE(stream.Send("x"));
  ASSERT_EQ(stream.Receive(1), "x");
  node.reset();
  EXPECT_EQ(stream.ReceiveAll(), "");
  node = StartNode("desk");
  RawStream again = ConnectTo("desk");
  ExpectEcho(again, kMiB);

  StartHub(hub_->address().port);
  WaitParked("desk", 2);
  RawStream anew = ConnectTo("desk");
  ExpectEcho(anew, kMiB);
}

TEST_F(TunnelTest, WhatIsNoPreambleIsRefusedWithTheReason) {
  const auto node = StartNode("desk");
  TunnelPreamble good{TunnelPurpose::kPark, "home", "desk", "", "sesame"};
  const auto refused = [&](const std::string& bytes, const std::string& says) {
    const std::string answer = AnswerTo(bytes);
    ASSERT_GE(answer.size(), 2U);
    EXPECT_EQ(answer[0], kRefused);
    EXPECT_THAT(answer, HasSubstr(says));
    EXPECT_EQ(answer.find("sesame"), std::string::npos) << "a proof is no reason";
  };
  refused("GET / HTTP/1.1\r\n\r\n", "does not speak this protocol");
  std::string version = PreambleBytes(good);
  version[4] = 9;
  refused(version, "version 9");
  TunnelPreamble changed = good;
  changed.mesh = "away";
  refused(PreambleBytes(changed), "of mesh away, this hub of mesh home");
  changed = good;
  changed.proof = "guess";
  refused(PreambleBytes(changed), "the proof does not hold");
  changed = {TunnelPurpose::kRelay, "home", "desk", "nobody", "sesame"};
  refused(PreambleBytes(changed), "nobody has no connection waiting");
  RawStream through = ConnectTo("desk");
  ExpectEcho(through, kMiB);
}

TEST_F(TunnelTest, ANodeWithoutAProofGetsNowhere) {
  const OneProof wrong("guess");
  const auto stranger = StartNode("desk", 2, wrong);
  const auto phone = StartNode("phone");
  EXPECT_EQ(hub_->parked("desk"), 0);
  EXPECT_EQ(RawStream(*stranger->RelayTo("phone")).ReceiveAll(), "");
  EXPECT_EQ(hub_->parked("phone"), 2);
}

TEST_F(TunnelTest, WhoSaysNothingIsDropped) {
  StartHub(0, {.handshake = std::chrono::milliseconds(500)});
  const auto node = StartNode("desk");
  EXPECT_EQ(AnswerTo("SHT"), "");
  // Says that it parks and never answers: whoever wants the node gets the next one.
  RawStream silent(hub_->address());
  silent.Receive(kGreetingBytes);
  silent.Send(PreambleBytes({TunnelPurpose::kPark, "home", "mute", "", "sesame"}));
  WaitParked("mute", 1);
  EXPECT_EQ(ConnectTo("mute").ReceiveAll(), "");
  EXPECT_EQ(silent.ReceiveAll(), std::string({kAccepted, kGo}));
  RawStream through = ConnectTo("desk");
  ExpectEcho(through, kMiB);
}

TEST_F(TunnelTest, AParkedConnectionThatIsSilentOrTalksIsDropped) {
  StartHub(0, {.silence = std::chrono::milliseconds(200)});
  const auto park = [&] {
    auto stream = std::make_unique<RawStream>(hub_->address());
    stream->Receive(kGreetingBytes);
    stream->Send(PreambleBytes({TunnelPurpose::kPark, "home", "mute", "", "sesame"}));
    EXPECT_EQ(stream->Receive(1), std::string(1, kAccepted));
    return stream;
  };
  EXPECT_EQ(park()->ReceiveAll(), "");
  const auto eager = park();
  eager->Send(std::string(1, kGo));  // nobody asked
  EXPECT_EQ(eager->ReceiveAll(), "");
  EXPECT_EQ(hub_->parked("mute"), 0);
}

TEST_F(TunnelTest, CountsAreBounded) {
  StartHub(0, {.connections = 8, .per_node = 3, .parked_per_node = 2});
  const auto node = StartNode("desk", 2);
  const std::string more =
      AnswerTo(PreambleBytes({TunnelPurpose::kPark, "home", "desk", "", "sesame"}));
  EXPECT_THAT(more, HasSubstr("too many connections"));
  std::vector<RawStream> streams;
  for (int i = 0; i < 6; ++i) streams.emplace_back(hub_->address());
  for (RawStream& stream : streams) EXPECT_EQ(stream.Receive(1).size(), 1U);
  EXPECT_EQ(RawStream(hub_->address()).ReceiveAll(), "") << "the ninth";
  streams.clear();
  std::optional<RawStream> through;
  for (std::string back; back != "x";) {  // until the hub has noticed that the others left
    through.emplace(*hub_->SocketOf("desk"));
    if (through->Send("x")) back = through->Receive(1);
  }
}

TEST(TunnelBackoff, DoublesUpToALimitAndNeverBelowHalf) {
  EXPECT_EQ(TunnelBackoff(1, 0).count(), 100);
  EXPECT_EQ(TunnelBackoff(2, 0).count(), 200);
  EXPECT_EQ(TunnelBackoff(3, 1).count(), 200);
  EXPECT_EQ(TunnelBackoff(1'000'000, 0).count(), 5000);
  EXPECT_EQ(TunnelBackoff(1'000'000, 1).count(), 2500);
}

}  // namespace
}  // namespace shoal
