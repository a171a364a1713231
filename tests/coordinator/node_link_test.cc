// Proves what dialling a node on a Unix socket does when the node is not there, or stands still.
#include "coordinator/service/node_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "net/unix_socket.h"
#include "tests/net/raw_stream.h"
#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr NodeLink::Patience kBrief = {200, 200};

int64_t OpenDescriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return std::distance(begin(all), end(all));
}

class NodeLinkTest : public ::testing::Test {
 protected:
  // What it says to who asks the node at `path_` to describe itself.
  std::string Ask() {
    const SteadyClock clock;
    Address address;
    address.unix_path = path_;
    NodeLink link({"desk", address, {}}, clock);
    const Result<NodeDescription> description = link.Describe(kBrief);
    return description.ok() ? "" : description.error().message;
  }

  TempDir dir_;
  std::string path_ = dir_.path() + "/n.sock";
};

TEST_F(NodeLinkTest, ANodeThatIsNotThereIsNamed) {
  EXPECT_EQ(*FindListener(path_, 0), Listener::kNone);
  EXPECT_THAT(Ask(), HasSubstr("node desk"));
}

// The kernel lets clients in to a process that is stopped.
TEST_F(NodeLinkTest, ANodeThatStandsStillCostsNoDescriptors) {
  const RawStream listening(ListenUnix(path_));
  EXPECT_EQ(*FindListener(path_, 0), Listener::kSilent);
  EXPECT_THAT(Ask(), HasSubstr("is it running?"));  // and gRPC opens what it keeps
  const int64_t before = OpenDescriptors();
  for (int i = 0; i < 8; ++i) EXPECT_THAT(Ask(), HasSubstr("is it running?"));
  EXPECT_LE(OpenDescriptors(), before + 2);
}

}  // namespace
}  // namespace shoal
