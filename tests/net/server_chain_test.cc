// Proves of what size the packets to a TLS server and from it are, and that a server which is none,
// and hangs up in the middle, is an error. The server is a socket that this test reads and writes.
#include "net/identity/server_chain.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <functional>
#include <string>
#include <thread>

#include "base/file_descriptor.h"

namespace shoal {
namespace {

constexpr int kPatienceMs = 30'000;
constexpr int kRecordHeaderBytes = 5;  // of TLS: type, version, u16 bytes that follow

// Whether fetching fails, with `serve` at the other end of its connection.
bool FailsWith(const std::function<void(int fd)>& serve, Packets packets = Packets::kAsUsual) {
  const FileDescriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in own = {};
  own.sin_family = AF_INET;
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof own;
  EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&own), size), 0);
  EXPECT_EQ(::listen(listener.get(), 1), 0);
  EXPECT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&own), &size), 0);
  std::thread server([&] {
    const FileDescriptor accepted(::accept(listener.get(), nullptr, nullptr));
    serve(accepted.get());
  });
  const bool failed =
      !FetchServerChain({"", "127.0.0.1", ntohs(own.sin_port)}, kPatienceMs, packets).ok();
  server.join();
  return failed;
}

TEST(ServerChainTest, PacketsAreOfTheSizeThatIsWanted) {
  for (const Packets packets : {Packets::kAsUsual, Packets::kSmall, Packets::kLarge}) {
    size_t bytes = 0;
    int segment_bytes = 0;
    EXPECT_TRUE(FailsWith(
        [&](int fd) {
          unsigned char header[kRecordHeaderBytes] = {};
          EXPECT_EQ(::recv(fd, header, sizeof header, MSG_WAITALL), kRecordHeaderBytes);
          bytes = header[3] * 256U + header[4];
          socklen_t size = sizeof segment_bytes;
          ::getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment_bytes, &size);
        },
        packets));
    EXPECT_EQ(bytes > kLargeMessageBytes, packets == Packets::kLarge) << bytes;
    EXPECT_EQ(segment_bytes <= kSmallSegmentBytes, packets == Packets::kSmall) << segment_bytes;
  }
}

// It must not end the process either, as the signal of a broken pipe would.
TEST(ServerChainTest, AServerThatHangsUpIsAnError) {
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(FailsWith([](int fd) {
      char first = 0;
      EXPECT_EQ(::recv(fd, &first, 1, MSG_PEEK), 1);
      const std::string junk("\x16\x03\x03\0\4junk",
                             9);  // a record that is no hello: the client objects
      ::send(fd, junk.data(), junk.size(), MSG_NOSIGNAL);
      ::shutdown(fd, SHUT_WR);  // and then, with bytes unread, it resets the connection
    }));
  }
}

}  // namespace
}  // namespace shoal
