// Proves that every loop runs each item exactly once and ends after the last, for many counts,
// grains and numbers of threads, over a thousand loops in a row, and that an idle pool uses no
// processor. Meant to run under the thread sanitizer, too: what bodies write is read without locks
// afterwards.
#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <memory>
#include <thread>
#include <tuple>
#include <vector>

namespace shoal {
namespace {

class ThreadPoolLoops : public ::testing::TestWithParam<int> {};

TEST_P(ThreadPoolLoops, RunEachItemOnce) {
  ThreadPool pool(GetParam());
  EXPECT_EQ(pool.threads(), GetParam());
  for (const int64_t count : {0, 1, 2, 3, 7, 64, 1'000, 4'097}) {
    for (const int64_t grain : {1, 2, 3, 64, 5'000}) {
      std::vector<int> runs(static_cast<size_t>(count), 0);  // no two threads share an item
      std::vector<char> whole_parts(static_cast<size_t>(count), 1);
      pool.ParallelFor(count, grain, [&](int64_t begin, int64_t end) {
        const bool whole = begin % grain == 0 && (end == count || end - begin == grain);
        for (int64_t i = begin; i < end; ++i) {
          ++runs[static_cast<size_t>(i)];
          whole_parts[static_cast<size_t>(i)] = whole && begin < end && end <= count;
        }
      });
      EXPECT_EQ(runs, std::vector<int>(runs.size(), 1)) << count << " by " << grain;
      EXPECT_EQ(whole_parts, std::vector<char>(runs.size(), 1)) << count << " by " << grain;
    }
  }
}

TEST_P(ThreadPoolLoops, FollowEachOtherInOrder) {
  // Each loop reads what the one before wrote in other parts, as the steps of a forward pass do.
  constexpr int64_t kItems = 97;
  constexpr int kLoops = 1'000;
  ThreadPool pool(GetParam());
  std::vector<int64_t> from(kItems, 0);
  std::vector<int64_t> to(kItems, 0);
  for (int loop = 0; loop < kLoops; ++loop) {
    pool.ParallelFor(kItems, 1 + loop % 13, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        to[static_cast<size_t>(i)] = from[static_cast<size_t>(kItems - 1 - i)] + 1;
      }
    });
    std::swap(from, to);
  }
  EXPECT_EQ(from, std::vector<int64_t>(kItems, kLoops));
}

TEST_P(ThreadPoolLoops, WorkAfterSleeping) {
  ThreadPool pool(GetParam());
  for (int loop = 0; loop < 20; ++loop) {
    std::vector<int> runs(50, 0);
    pool.ParallelFor(50, 1, [&](int64_t begin, int64_t) { ++runs[static_cast<size_t>(begin)]; });
    if (GetParam() == 1) break;  // one part without workers
    EXPECT_EQ(runs, std::vector<int>(50, 1));
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // workers go to sleep
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolLoops, ::testing::Values(1, 2, 3, 4, 9));

TEST(ThreadPool, StartsAndStopsAtAnyMoment) {
  for (int i = 0; i < 200; ++i) {
    ThreadPool idle(1 + i % 5);
    ThreadPool busy(1 + i % 3);
    int64_t sum = 0;
    busy.ParallelFor(1, 1, [&sum](int64_t begin, int64_t end) { sum = end - begin; });
    EXPECT_EQ(sum, 1);
    busy.ParallelFor(8, 1, [](int64_t, int64_t) {});
  }
}

TEST(ThreadPool, BodiesMayOwnPoolsOfTheirOwn) {
  ThreadPool outer(3);
  std::vector<int64_t> sums(6, 0);
  outer.ParallelFor(6, 1, [&sums](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      ThreadPool inner(2);
      std::vector<int64_t> squares(100, 0);
      inner.ParallelFor(100, 7, [&squares](int64_t first, int64_t last) {
        for (int64_t j = first; j < last; ++j) squares[static_cast<size_t>(j)] = j * j;
      });
      for (const int64_t square : squares) sums[static_cast<size_t>(i)] += square;
    }
  });
  EXPECT_EQ(sums, std::vector<int64_t>(6, 328'350));
}

TEST(ThreadPool, PoolsOfSeveralOwnersDoNotMeet) {
  std::vector<std::thread> owners;
  std::vector<int64_t> sums(3, 0);
  for (size_t owner = 0; owner < sums.size(); ++owner) {
    owners.emplace_back([&sums, owner] {
      ThreadPool pool(3);
      for (int loop = 0; loop < 300; ++loop) {
        std::vector<int64_t> items(31, 0);
        pool.ParallelFor(31, 4, [&items](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) items[static_cast<size_t>(i)] = i;
        });
        for (const int64_t item : items) sums[owner] += item;
      }
    });
  }
  for (std::thread& owner : owners) owner.join();
  EXPECT_EQ(sums, std::vector<int64_t>(3, 300 * 31 * 30 / 2));
}

TEST(ThreadPool, IsIdleBetweenLoops) {
  ThreadPool pool(4);
  pool.ParallelFor(8, 1, [](int64_t, int64_t) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const double used_s = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(used_s, 0.1) << "three workers that spin would use up to 0.9 s";
}

TEST(ThreadPoolDeathTest, NeedsAThreadAndAGrain) {
  EXPECT_DEATH(ThreadPool(0), "at least the calling thread");
  EXPECT_DEATH(ThreadPool(1).ParallelFor(3, 0, [](int64_t, int64_t) {}), "grain counts items");
}

}  // namespace
}  // namespace shoal
