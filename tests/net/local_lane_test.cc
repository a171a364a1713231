// Proves that messages cross a lane whole and in order, whatever their size and however the bytes
// are cut on the way; that what is no message, or too long, is refused before it takes memory; that
// closing or shutting a lane frees whoever waits; and that only this user can come to one.
#include "net/local_lane.h"

#include <gmock/gmock.h>
#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/channel.h"
#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

using google::protobuf::BytesValue;
using ::testing::HasSubstr;

BytesValue Message(size_t bytes, char first) {
  BytesValue message;
  std::string value(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) value[i] = static_cast<char>(first + static_cast<char>(i * 7));
  message.set_value(value);
  return message;
}

struct Pair {
  Pair() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    far = FileDescriptor(ends[0]);
    near.emplace(FileDescriptor(ends[1]));
  }
  void Write(std::string_view bytes) const {
    ASSERT_EQ(::send(far.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  }
  FileDescriptor far;  // bytes as they are
  std::optional<LocalLane> near;
};

std::string Framed(const BytesValue& message) {
  const std::string bytes = message.SerializeAsString();
  const auto length = static_cast<uint32_t>(bytes.size());
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + bytes;
}

TEST(LocalLane, CarriesMessagesOfAnySizeInOrder) {
  Pair pair;
  LocalLane sender(std::move(pair.far));
  const std::vector<size_t> sizes = {0,      1,       100, 65'529, 65'530, 65'536,
                                     70'000, 3 << 20, 5,   0,      8192};
  std::future<void> sent = std::async(std::launch::async, [&] {
    for (size_t i = 0; i < sizes.size(); ++i) {
      EXPECT_TRUE(sender.Send(Message(sizes[i], static_cast<char>(i))).ok());
    }
  });
  for (size_t i = 0; i < sizes.size(); ++i) {
    BytesValue message;
    const Status came = pair.near->Receive(message);
    ASSERT_TRUE(came.ok()) << came.error().message;
    EXPECT_EQ(message.value(), Message(sizes[i], static_cast<char>(i)).value()) << sizes[i];
  }
  sent.get();
}

TEST(LocalLane, TakesBytesHoweverTheyAreCut) {
  std::string bytes;
  for (size_t i = 0; i < 5; ++i) bytes += Framed(Message(300 + i, static_cast<char>(i)));
  for (const size_t step : {size_t{1}, size_t{3}, size_t{305}, size_t{1000}, bytes.size()}) {
    Pair pair;
    const std::future<void> written = std::async(std::launch::async, [&] {
      for (size_t at = 0; at < bytes.size(); at += step) {
        pair.Write(std::string_view(bytes).substr(at, step));
      }
    });
    for (size_t i = 0; i < 5; ++i) {
      BytesValue message;
      ASSERT_TRUE(pair.near->Receive(message).ok()) << step;
      EXPECT_EQ(message.value(), Message(300 + i, static_cast<char>(i)).value());
    }
  }
}

TEST(LocalLane, RefusesALengthBeyondTheLimit) {
  Pair pair;
  pair.Write("\xff\xff\xff\x7f");
  BytesValue message;
  const Status came = pair.near->Receive(message);
  ASSERT_FALSE(came.ok());
  EXPECT_EQ(came.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(came.error().message, HasSubstr("2147483647 bytes"));
}

TEST(LocalLane, RefusesWhatIsNoMessage) {
  Pair pair;
  pair.Write(std::string("\x03\0\0\0\xff\xff\xff", 7));
  BytesValue message;
  const Status came = pair.near->Receive(message);
  ASSERT_FALSE(came.ok());
  EXPECT_EQ(came.error().code, ErrorCode::kInvalidArgument);
}

TEST(LocalLane, SendsNothingOfAMessageThatIsTooLong) {
  Pair pair;
  const Status sent = pair.near->Send(Message(kMaxMessageBytes, 'a'));
  ASSERT_FALSE(sent.ok());
  EXPECT_EQ(sent.error().code, ErrorCode::kInvalidArgument);
  char byte = 0;
  EXPECT_EQ(::recv(pair.far.get(), &byte, 1, MSG_DONTWAIT), -1);
}

TEST(LocalLane, EndsInTheMiddleOfAMessage) {
  for (const size_t left : {size_t{0}, size_t{2}, size_t{50}}) {
    Pair pair;
    pair.Write(std::string_view(Framed(Message(100, 'x'))).substr(0, left));
    pair.far.Close();
    BytesValue message;
    const Status came = pair.near->Receive(message);
    ASSERT_FALSE(came.ok());
    EXPECT_EQ(came.error().code, ErrorCode::kUnavailable);
    EXPECT_FALSE(pair.near->Send(Message(1, 'a')).ok());
  }
}

TEST(LocalLane, ShutdownFreesBothEnds) {
  Pair pair;
  LocalLane other(std::move(pair.far));
  std::future<Status> sending = std::async(std::launch::async, [&] {
    return other.Send(Message(4 << 20, 'a'));  // which nobody reads
  });
  std::future<Status> receiving = std::async(std::launch::async, [&] {
    BytesValue message;
    return other.Receive(message);
  });
  pair.near->Shutdown();
  EXPECT_EQ(sending.get().error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(receiving.get().error().code, ErrorCode::kUnavailable);
}

TEST(LaneListener, LetsOneInAndLeavesNoFile) {
  const TempDir folder;
  const std::string path = folder.path() + "/lane";
  {
    Result<LaneListener> listener = LaneListener::Open(path);
    ASSERT_TRUE(listener.ok()) << listener.error().message;
    struct stat info {};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600U);
    Result<LocalLane> dialled = LocalLane::Connect(path);
    ASSERT_TRUE(dialled.ok()) << dialled.error().message;
    Result<LocalLane> accepted = listener->Accept();
    ASSERT_TRUE(accepted.ok()) << accepted.error().message;
    ASSERT_TRUE(dialled->Send(Message(10, 'a')).ok());
    BytesValue message;
    ASSERT_TRUE(accepted->Receive(message).ok());
    EXPECT_EQ(message.value(), Message(10, 'a').value());
  }
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
  EXPECT_EQ(LocalLane::Connect(path).error().code, ErrorCode::kNotFound);
}

TEST(LaneListener, SaysThatNobodyCame) {
  const TempDir folder;
  Result<LaneListener> listener = LaneListener::Open(folder.path() + "/lane");
  ASSERT_TRUE(listener.ok());
  EXPECT_EQ(listener->Accept().error().code, ErrorCode::kFailedPrecondition);
}

TEST(LaneListener, APathTooLongIsNamed) {
  const Result<LaneListener> listener = LaneListener::Open("/tmp/" + std::string(200, 'a'));
  ASSERT_FALSE(listener.ok());
  EXPECT_THAT(listener.error().message, HasSubstr("too many for a socket's path"));
}

}  // namespace
}  // namespace shoal
