// Proves which cores get a thread, on the descriptions that Linux gives of common machines.
#include "node/cpu_topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;

class CpuTopologyTest : public ::testing::Test {
 protected:
  void Describe(int id, const std::string& file, const std::string& text) const {
    dir_.Write("cpu" + std::to_string(id) + "/" + file, text + "\n");
  }
  std::vector<int> Chosen(const std::vector<int>& ids) const {
    return PerformanceCpus(ReadCpus(dir_.path(), ids));
  }

  TempDir dir_;
};

TEST_F(CpuTopologyTest, ThreadsOfOneCoreCountOnce) {
  for (int id = 0; id < 8; ++id) {
    Describe(id, "topology/thread_siblings_list",
             std::to_string(id % 4) + "," + std::to_string(id % 4 + 4));
  }
  EXPECT_THAT(Chosen({0, 1, 2, 3, 4, 5, 6, 7}), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Chosen({5, 6, 1}), ElementsAre(5, 6));  // as much as the process may use
}

TEST_F(CpuTopologyTest, LittleCoresAreLeftOut) {
  const int capacities[] = {250, 250, 250, 250, 870, 870, 1024};
  for (int id = 0; id < 7; ++id) Describe(id, "cpu_capacity", std::to_string(capacities[id]));
  EXPECT_THAT(Chosen({0, 1, 2, 3, 4, 5, 6}), ElementsAre(4, 5, 6));
  EXPECT_THAT(Chosen({0, 1, 2}), ElementsAre(0, 1, 2));  // they are the fastest that there are
}

TEST_F(CpuTopologyTest, HybridCoresAreToldApartByFrequency) {
  // Two fast cores of two threads, and four efficient ones at three fifths of the frequency.
  for (int id = 0; id < 8; ++id) {
    const int first = id < 4 ? id / 2 * 2 : id;
    Describe(id, "topology/thread_siblings_list",
             id < 4 ? std::to_string(first) + "-" + std::to_string(first + 1) : std::to_string(id));
    Describe(id, "cpufreq/cpuinfo_max_freq", id < 4 ? "5000000" : "3000000");
  }
  EXPECT_THAT(Chosen({0, 1, 2, 3, 4, 5, 6, 7}), ElementsAre(0, 2, 4, 5, 6, 7));
}

TEST_F(CpuTopologyTest, UndescribedProcessorsAreCores) {
  EXPECT_THAT(Chosen({0, 1, 2}), ElementsAre(0, 1, 2));
}

}  // namespace
}  // namespace shoal
