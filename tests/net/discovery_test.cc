// Proves that a coordinator is found by its mesh id on this machine's own interfaces, among others
// of other meshes; that messages survive the way to bytes and back, and nothing else is taken for
// one; and that a flood of questions gets few answers.
#include "net/discovery.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <vector>

#include "net/discovery_message.h"

namespace shoal {
namespace {

constexpr int kPatienceMs = 30'000;
// In the alphabet of mesh ids, which is base32.
const std::string kOurs = "abcdefghijklmnop", kTheirs = "qrstuvwxyz234567";

TEST(DiscoveryMessageTest, ComesBackFromItsBytes) {
  for (const DiscoveryMessage& message : {DiscoveryMessage{"", 0}, DiscoveryMessage{kOurs, 0},
                                          DiscoveryMessage{std::string(64, 'a'), 65535}}) {
    const std::string bytes = EncodeDiscovery(message);
    EXPECT_LE(bytes.size(), kMaxDiscoveryBytes);
    const std::optional<DiscoveryMessage> read = ParseDiscovery(bytes);
    ASSERT_TRUE(read) << bytes;
    EXPECT_EQ(read->mesh_id, message.mesh_id);
    EXPECT_EQ(read->port, message.port);
  }
}

TEST(DiscoveryMessageTest, TakesNothingElse) {
  const std::vector<std::string> others = {"",
                                           "shoal-seek 1 ",
                                           "shoal-seek 2 *",
                                           "shoal-seek 1 **",
                                           "shoal-seek 1 0123456",
                                           "shoal-seek 1 " + std::string(65, '0'),
                                           "shoal-seek 1 0123456G",
                                           "shoal-here 1 " + kOurs,
                                           "shoal-here 1 " + kOurs + " ",
                                           "shoal-here 1 " + kOurs + " 0",
                                           "shoal-here 1 " + kOurs + " 65536",
                                           "shoal-here 1 " + kOurs + " 1 ",
                                           "shoal-here 1 " + kOurs + " 01",
                                           "shoal-here 1 * 1",
                                           "shoal-seek 1 " + kOurs + "\n",
                                           std::string(10'000, 's')};
  for (const std::string& bytes : others) {
    EXPECT_FALSE(ParseDiscovery(bytes)) << bytes;
  }
}

// A port that is free now, so that tests on one machine do not meet.
uint16_t FreePort() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in name = {};
  name.sin_family = AF_INET;
  socklen_t size = sizeof(name);
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof(name)), 0);
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size), 0);
  ::close(fd);
  return ntohs(name.sin_port);
}

TEST(DiscoveryTest, FindsTheMeshThatIsAskedFor) {
  const uint16_t port = FreePort();
  const auto ours = DiscoveryResponder::Start(kOurs, 1111, port);
  const auto theirs = DiscoveryResponder::Start(kTheirs, 2222, port);
  ASSERT_TRUE(ours.ok()) << ours.error().message;
  ASSERT_TRUE(theirs.ok()) << theirs.error().message;
  for (const auto& [mesh, service] : {std::pair{kOurs, 1111}, {kTheirs, 2222}}) {
    const auto found = SeekCoordinators(mesh, kPatienceMs, true, port);
    ASSERT_TRUE(found.ok()) << found.error().message;
    ASSERT_FALSE(found->empty()) << mesh;
    for (const FoundCoordinator& coordinator : *found) {
      EXPECT_EQ(coordinator.mesh_id, mesh);
      EXPECT_EQ(coordinator.address.port, service);
    }
  }
  const auto none = SeekCoordinators("00000000", 100, false, port);
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->empty());
}

// A socket of 127.0.0.`host` that asks the responder at `port`.
class Seeker {
 public:
  Seeker(uint8_t host, uint16_t port) : fd_(::socket(AF_INET, SOCK_DGRAM, 0)) {
    const timeval patience = {1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    const sockaddr_in from = Loopback(host, 0);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&from), sizeof(from)), 0);
    const sockaddr_in to = Loopback(1, port);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0);
  }
  ~Seeker() { ::close(fd_); }
  Seeker(const Seeker&) = delete;
  Seeker& operator=(const Seeker&) = delete;

  void Ask(int times) const {
    const std::string question = EncodeDiscovery({kOurs, 0});
    for (int i = 0; i < times; ++i) ::send(fd_, question.data(), question.size(), 0);
  }
  int Answers() const {
    int answers = 0;
    char buffer[200];
    while (::recv(fd_, buffer, sizeof(buffer), 0) > 0) ++answers;
    return answers;
  }

 private:
  static sockaddr_in Loopback(uint8_t host, uint16_t port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + host);
    return address;
  }
  const int fd_;
};

TEST(DiscoveryTest, AFloodOfQuestionsGetsFewAnswersAndHidesNobody) {
  const uint16_t port = FreePort();
  const auto responder = DiscoveryResponder::Start(kOurs, 1111, port);
  ASSERT_TRUE(responder.ok()) << responder.error().message;
  const auto began = std::chrono::steady_clock::now();
  const Seeker flood(2, port);
  const Seeker other(3, port);
  flood.Ask(200);
  other.Ask(1);
  EXPECT_EQ(other.Answers(), 1);
  const int answers = flood.Answers();
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - began)
          .count();
  EXPECT_GE(answers, 1);
  EXPECT_LE(answers, kAnswersPerSourceS * (seconds + 1));
}

}  // namespace
}  // namespace shoal
