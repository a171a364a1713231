// Proves which limits of control groups count, on folders laid out as Linux does.
#include "node/control_group.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

class ControlGroupTest : public ::testing::Test {
 protected:
  void Put(const std::string& file, const std::string& text) const {
    dir_.Write(file, text + "\n");
  }
  void PutGroup(const std::string& file, const std::string& text) const {
    Put("sys/fs/cgroup/" + file, text);
  }
  GroupLimits Read() const { return ReadGroupLimits(dir_.path()); }

  TempDir dir_;
};

TEST_F(ControlGroupTest, WithoutGroupsNothingIsLimited) {
  const GroupLimits limits = Read();
  EXPECT_EQ(limits.cpus, 0);
  EXPECT_FALSE(limits.memory_bytes.has_value());
  EXPECT_FALSE(limits.free_memory_bytes.has_value());
}

TEST_F(ControlGroupTest, QuotasAreRoundedUp) {
  const auto cpus = [&](const std::string& text) {
    PutGroup("cpu.max", text);
    return Read().cpus;
  };
  EXPECT_EQ(cpus("200000 100000"), 2);
  EXPECT_EQ(cpus("50000 100000"), 1);
  EXPECT_EQ(cpus("max 100000"), 0);
  EXPECT_EQ(cpus("-1 0"), 0);
}

TEST_F(ControlGroupTest, AServiceIsLimitedByItsOwnGroup) {
  Put("proc/self/cgroup", "0::/system.slice/shoal-node.service");
  PutGroup("system.slice/shoal-node.service/cpu.max", "150000 100000");
  PutGroup("system.slice/shoal-node.service/memory.max", "4000");
  PutGroup("system.slice/shoal-node.service/memory.current", "1500");
  PutGroup("system.slice/cpu.max", "max 100000");
  PutGroup("system.slice/memory.max", "max");
  const GroupLimits limits = Read();
  EXPECT_EQ(limits.cpus, 2);
  EXPECT_EQ(limits.memory_bytes, 4000);
  EXPECT_EQ(limits.free_memory_bytes, 2500);
}

TEST_F(ControlGroupTest, ATighterGroupAboveCounts) {
  Put("proc/self/cgroup", "0::/a/b");
  PutGroup("a/b/cpu.max", "400000 100000");
  PutGroup("a/b/memory.max", "4000");
  PutGroup("a/b/memory.current", "100");
  PutGroup("a/cpu.max", "100000 100000");
  PutGroup("a/memory.max", "8000");
  PutGroup("a/memory.current", "7900");  // others are in it, too
  const GroupLimits limits = Read();
  EXPECT_EQ(limits.cpus, 1);
  EXPECT_EQ(limits.memory_bytes, 4000);
  EXPECT_EQ(limits.free_memory_bytes, 100);
}

TEST_F(ControlGroupTest, CachedFilesAreFree) {
  PutGroup("memory.max", "1000");
  PutGroup("memory.current", "900");
  PutGroup("memory.stat", "anon 300\nfile 600\ninactive_file 400\nactive_file 100\npgfault 7");
  EXPECT_EQ(Read().free_memory_bytes, 600);
  PutGroup("memory.current", "5000");  // more than the limit, as just after it was set
  EXPECT_EQ(Read().free_memory_bytes, 0);
}

TEST_F(ControlGroupTest, AGroupOutsideOfAContainerIsItsTopmost) {
  PutGroup("cpu.max", "100000 100000");
  for (const char* group : {"0::/", "0::/../..", "0::/../other", "12:cpu:/x\n0::/"}) {
    Put("proc/self/cgroup", group);
    EXPECT_EQ(Read().cpus, 1) << group;
  }
}

}  // namespace
}  // namespace shoal
