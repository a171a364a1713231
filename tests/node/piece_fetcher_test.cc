// Proves that pieces come in whatever their sources do, by fake sources that die, lie, hold back or
// lack pieces; that what came is kept; that every error names its source; and that nodes that need
// the same pieces cost the coordinator one upload.
#include "node/piece_fetcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

std::string PieceText(int i) { return "piece " + std::to_string(i); }

// Answers from a list of pieces; `Answer` may change what it says.
class FakeSource : public PieceChannel {
 public:
  using Answer = std::function<Result<ReceivedPiece>(ReceivedPiece)>;

  FakeSource(std::string name, int pieces, Answer answer = nullptr)
      : name_(std::move(name)), answer_(std::move(answer)) {
    for (int i = 0; i < pieces; ++i) pieces_[Sha256Of(PieceText(i))] = PieceText(i);
  }

  const std::string& name() const override { return name_; }

  Status Ask(std::span<const Sha256Digest> digests) override {
    const std::lock_guard lock(mutex_);
    if (cancelled_) return Unavailable("closed");
    for (const Sha256Digest& digest : digests) asked_.push_back(digest);
    changed_.notify_all();
    return OkStatus();
  }

  Result<ReceivedPiece> Receive() override {
    ReceivedPiece piece;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return cancelled_ || !asked_.empty(); });
      if (cancelled_) return Unavailable("closed");
      piece.digest = asked_.front();
      asked_.pop_front();
      ++answers_;
    }
    const auto found = pieces_.find(piece.digest);
    piece.missing = found == pieces_.end();
    if (!piece.missing) piece.data = found->second;
    return answer_ ? answer_(std::move(piece)) : piece;
  }

  Result<std::string> Unpack(ReceivedPiece piece, int64_t max_bytes) const override {
    if (static_cast<int64_t>(piece.data.size()) > max_bytes) return DataLoss("too long");
    return std::move(piece.data);
  }

  void Cancel() override {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    changed_.notify_all();
  }

  // Blocks until it is cancelled, as one that sends no more.
  Result<ReceivedPiece> Hang() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return cancelled_; });
    return Unavailable("closed");
  }

  int answers() {
    const std::lock_guard lock(mutex_);
    return answers_;
  }

 private:
  const std::string name_;
  const Answer answer_;
  std::map<Sha256Digest, std::string> pieces_;
  std::mutex mutex_;  // guards the rest
  std::condition_variable changed_;
  std::deque<Sha256Digest> asked_;
  bool cancelled_ = false;
  int answers_ = 0;
};

class PieceFetcherTest : public ::testing::Test {
 protected:
  static constexpr int kPieces = 60;

  // Items whose sources take turns.
  static std::vector<FetchItem> Items(int sources) {
    std::vector<FetchItem> items;
    for (int i = 0; i < kPieces; ++i) items.push_back({Sha256Of(PieceText(i)), 100, i % sources});
    return items;
  }

  Status Fetch(std::vector<PieceChannel*> sources) {
    const auto count = static_cast<int>(sources.size());
    PieceFetcher fetcher(*store_, std::move(sources), clock_, 2);
    return fetcher.Fetch(Items(count), &progress_);
  }

  int Stored() {
    int stored = 0;
    for (int i = 0; i < kPieces; ++i) stored += store_->Has(Sha256Of(PieceText(i)));
    return stored;
  }

  TempDir dir_;
  std::unique_ptr<ChunkStore> store_ =
      std::move(ChunkStore::Open(dir_.path() + "/store", 1 << 20)).value();
  FakeClock clock_;
  FetchProgress progress_;
};

TEST_F(PieceFetcherTest, BringsEveryPieceOnce) {
  FakeSource a("a", kPieces);
  FakeSource b("b", kPieces);
  ASSERT_TRUE(Fetch({&a, &b}).ok());
  EXPECT_EQ(Stored(), kPieces);
  EXPECT_EQ(a.answers() + b.answers(), kPieces);
  EXPECT_GT(progress_.bytes_done, 0);
}

TEST_F(PieceFetcherTest, ASourceThatDiesIsReplaced) {
  FakeSource a("a", kPieces);
  int left = 7;
  FakeSource dies("dies", kPieces, [&](ReceivedPiece piece) -> Result<ReceivedPiece> {
    if (--left < 0) return Unavailable("gone");
    return piece;
  });
  ASSERT_TRUE(Fetch({&a, &dies}).ok());
  EXPECT_EQ(Stored(), kPieces);
}

TEST_F(PieceFetcherTest, ASourceThatLiesIsReplacedAndNothingOfItIsKept) {
  FakeSource a("a", kPieces);
  FakeSource lies("lies", kPieces, [](ReceivedPiece piece) -> Result<ReceivedPiece> {
    piece.data += '!';
    return piece;
  });
  ASSERT_TRUE(Fetch({&a, &lies}).ok());
  EXPECT_EQ(Stored(), kPieces);
  for (int i = 0; i < kPieces; ++i) {
    const Content content = store_->Find(Sha256Of(PieceText(i)));
    EXPECT_EQ(content.bytes.size(), PieceText(i).size());
  }
}

TEST_F(PieceFetcherTest, ASourceThatSendsWhatNobodyAskedForIsReplaced) {
  FakeSource a("a", kPieces);
  FakeSource other("other", kPieces, [](ReceivedPiece piece) -> Result<ReceivedPiece> {
    piece.digest = Sha256Of("unasked");
    piece.data = "unasked";
    piece.missing = false;
    return piece;
  });
  EXPECT_TRUE(Fetch({&a, &other}).ok());
  EXPECT_EQ(Stored(), kPieces);
  EXPECT_FALSE(store_->Has(Sha256Of("unasked")));
}

TEST_F(PieceFetcherTest, ASilentSourceLosesItsPiecesToOthers) {
  FakeSource a("a", kPieces);
  FakeSource* self = nullptr;
  FakeSource silent("silent", kPieces,
                    [&](const ReceivedPiece&) -> Result<ReceivedPiece> { return self->Hang(); });
  self = &silent;
  std::thread time([this] {
    while (Stored() < kPieces) {
      clock_.AdvanceNs(FetchSchedule::kPatienceNs);
      std::this_thread::yield();
    }
  });
  EXPECT_TRUE(Fetch({&a, &silent}).ok());
  time.join();
  EXPECT_EQ(Stored(), kPieces);
}

TEST_F(PieceFetcherTest, WhatASourceLacksComesFromAnother) {
  FakeSource a("a", kPieces);
  FakeSource lacks("lacks", 10);
  ASSERT_TRUE(Fetch({&lacks, &a}).ok());
  EXPECT_EQ(Stored(), kPieces);
}

TEST_F(PieceFetcherTest, AnErrorNamesEverySourceAndKeepsWhatCame) {
  FakeSource lacks("node lacks", 10);
  FakeSource dies("node dies", kPieces, [](const ReceivedPiece&) -> Result<ReceivedPiece> {
    return Unavailable("the cable is out");
  });
  const Status fetched = Fetch({&lacks, &dies});
  ASSERT_FALSE(fetched.ok());
  EXPECT_EQ(fetched.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(fetched.error().message, HasSubstr("node lacks: it does not have them"));
  EXPECT_THAT(fetched.error().message, HasSubstr("node dies: the cable is out"));
  EXPECT_LE(Stored(), 10);
}

TEST_F(PieceFetcherTest, AFullStoreEndsItWithTheStoresError) {
  store_ = std::move(ChunkStore::Open(dir_.path() + "/small", 50)).value();
  std::vector<Sha256Digest> all;
  for (int i = 0; i < kPieces; ++i) all.push_back(Sha256Of(PieceText(i)));
  const ChunkStore::Pin pin = store_->Keep(all);
  FakeSource a("a", kPieces);
  const Status fetched = Fetch({&a});
  ASSERT_FALSE(fetched.ok());
  EXPECT_EQ(fetched.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(fetched.error().message, HasSubstr("quota of 50"));
}

TEST_F(PieceFetcherTest, CancelEndsIt) {
  FakeSource* self = nullptr;
  FakeSource silent("silent", kPieces,
                    [&](const ReceivedPiece&) -> Result<ReceivedPiece> { return self->Hang(); });
  self = &silent;
  PieceFetcher fetcher(*store_, {&silent}, clock_, 1);
  std::thread cancel([&] { fetcher.Cancel(); });
  const Status fetched = fetcher.Fetch(Items(1), nullptr);
  cancel.join();
  ASSERT_FALSE(fetched.ok());
  EXPECT_EQ(fetched.error().code, ErrorCode::kCancelled);
  EXPECT_FALSE(fetcher.Fetch(Items(1), nullptr).ok());
}

// Nodes assign by themselves; together they ask the coordinator for every piece once.
TEST(AssignSources, NodesThatNeedTheSamePiecesCostOneUpload) {
  constexpr int kNodes = 5;
  constexpr int kPieces = 500;
  std::set<Sha256Digest> all;
  for (int i = 0; i < kPieces; ++i) all.insert(Sha256Of(PieceText(i)));
  std::map<Sha256Digest, int> uploads;
  std::map<uint32_t, int> of_member;
  for (uint32_t own = 0; own < kNodes; ++own) {
    std::vector<FetchPeer> peers;
    for (uint32_t member = 0; member < kNodes; ++member) {
      if (member != own) peers.push_back({member, {}, all});
    }
    std::vector<FetchItem> items;
    for (const Sha256Digest& digest : all) items.push_back({digest, 1, 0});
    AssignSources(items, own, peers);
    for (const FetchItem& item : items) {
      if (item.source != 0) continue;
      ++uploads[item.digest];
      ++of_member[own];
    }
  }
  EXPECT_EQ(uploads.size(), all.size());
  for (const auto& [digest, count] : uploads) EXPECT_EQ(count, 1);
  for (const auto& [member, count] : of_member) EXPECT_NEAR(count, kPieces / kNodes, 60);
}

TEST(AssignSources, WhoHasAPieceComesFirst) {
  const Sha256Digest held = Sha256Of("held");
  const Sha256Digest alone = Sha256Of("alone");
  std::vector<FetchItem> items = {{held, 1, 0}, {alone, 1, 0}};
  const std::vector<FetchPeer> peers = {{7, {}, {held}}, {9, {held}, {}}};
  AssignSources(items, 3, peers);
  EXPECT_EQ(items[0].source, 2);
  EXPECT_EQ(items[1].source, 0);
}

}  // namespace
}  // namespace shoal
