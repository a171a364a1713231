// Proves that a chunk store gives back what was put into it or nothing, whatever is put, evicted,
// damaged, removed or opened again in between: random histories against a model of what has to be
// there. And its errors.
#include "model/gguf/chunk_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>

#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

std::span<const std::byte> BytesOf(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string PathIn(const std::string& folder, const Sha256Digest& digest) {
  const std::string hex = ToHex(digest);
  return folder + "/" + hex.substr(0, 2) + "/" + hex;
}

std::string TextOf(const Content& content) {
  return {reinterpret_cast<const char*>(content.bytes.data()), content.bytes.size()};
}

std::unique_ptr<ChunkStore> OpenStore(const std::string& folder, int64_t quota_bytes) {
  return std::move(ChunkStore::Open(folder, quota_bytes)).value();
}

// Chunk i of a history: sizes differ, so that room does not always fit.
std::string ChunkText(int i) {
  return std::string(static_cast<size_t>(10 + 7 * (i % 5)), static_cast<char>('a' + i));
}

RC_GTEST_PROP(ChunkStoreProperty, GivesBackWhatWasPutOrNothing, ()) {
  constexpr int kChunks = 12;
  constexpr int64_t kQuota = 120;
  const TempDir dir;
  const std::string folder = dir.path() + "/store";
  ThreadPool pool(1);
  std::unique_ptr<ChunkStore> store = OpenStore(folder, kQuota);
  std::vector<int> by_use;  // what has to be there, the least recently used first
  std::set<int> damaged;    // since it was last looked at
  std::set<int> checked;    // in this process: damage after that does not show
  std::map<int, ChunkStore::Pin> pins;
  const auto bytes_of = [](const std::vector<int>& chunks) {
    int64_t bytes = 0;
    for (const int chunk : chunks) bytes += static_cast<int64_t>(ChunkText(chunk).size());
    return bytes;
  };
  const auto forget = [&](int i) {
    std::erase(by_use, i);
    damaged.erase(i);
    checked.erase(i);
  };
  const auto steps =
      *rc::gen::resize(40, rc::gen::container<std::vector<std::pair<int, int>>>(rc::gen::pair(
                               rc::gen::inRange(0, 6), rc::gen::inRange(0, kChunks))));
  for (const auto& [what, i] : steps) {
    const std::string text = ChunkText(i);
    const Sha256Digest digest = Sha256Of(text);
    const bool there = std::count(by_use.begin(), by_use.end(), i) > 0;
    switch (what) {
      case 0: {
        const Status put = store->Put(digest, BytesOf(text));
        forget(i);
        while (bytes_of(by_use) + static_cast<int64_t>(text.size()) > kQuota) {
          const auto victim = std::find_if(by_use.begin(), by_use.end(),
                                           [&](int chunk) { return !pins.contains(chunk); });
          if (victim == by_use.end()) break;
          forget(*victim);
        }
        const bool fits = bytes_of(by_use) + static_cast<int64_t>(text.size()) <= kQuota;
        RC_ASSERT(put.ok() == fits);
        if (!fits) RC_ASSERT(put.error().code == ErrorCode::kResourceExhausted);
        if (fits) by_use.push_back(i);
        if (fits) checked.insert(i);
        break;
      }
      case 1: {
        const Content content = store->Find(digest);
        const bool good = there && !damaged.contains(i);
        RC_ASSERT((content.owner != nullptr) == good);
        if (good) RC_ASSERT(TextOf(content) == text);
        forget(i);
        if (good) by_use.push_back(i);
        if (good) checked.insert(i);
        break;
      }
      case 2:
        if (there && !checked.contains(i)) {
          std::ofstream(PathIn(folder, digest)) << std::string(text.size(), '#');
          damaged.insert(i);
        }
        break;
      case 3:
        if (there && !checked.contains(i)) {
          std::filesystem::resize_file(PathIn(folder, digest), 3);
          damaged.insert(i);
        }
        break;
      case 4:  // a new process; the pins of the old one are gone
        pins.clear();
        checked.clear();
        store = OpenStore(folder, kQuota);
        // What was cut short counts with its new size from now on.
        for (const int chunk : std::set<int>(damaged)) {
          store->Find(Sha256Of(ChunkText(chunk)));
          forget(chunk);
        }
        break;
      default:
        if (pins.contains(i)) {
          pins.erase(i);
        } else {
          pins[i] = store->Keep({digest});
        }
    }
    if (damaged.empty()) RC_ASSERT(store->used_bytes() == bytes_of(by_use));
    RC_ASSERT(store->used_bytes() <= kQuota);
  }
  for (int i = 0; i < kChunks; ++i) {
    const std::vector<Sha256Digest> wanted = {Sha256Of(ChunkText(i))};
    const bool good = std::count(by_use.begin(), by_use.end(), i) > 0 && !damaged.contains(i);
    RC_ASSERT(store->Missing(wanted, pool).empty() == good);
  }
}

class ChunkStoreTest : public ::testing::Test {
 protected:
  TempDir dir_;
  const std::string folder_ = dir_.path() + "/store";
  std::unique_ptr<ChunkStore> store_ = OpenStore(folder_, 1 << 20);
  const std::string text_ = "some bytes";
  const Sha256Digest digest_ = Sha256Of(text_);
};

TEST_F(ChunkStoreTest, RefusesBytesWithAnotherHash) {
  const Status put = store_->Put(digest_, BytesOf("other bytes"));
  ASSERT_FALSE(put.ok());
  EXPECT_EQ(put.error().code, ErrorCode::kDataLoss);
  EXPECT_THAT(put.error().message, HasSubstr(ToHex(digest_)));
  EXPECT_FALSE(store_->Has(digest_));
}

TEST_F(ChunkStoreTest, MapsATensorsChunksAsOnePiece) {
  std::string tensor(kChunkBytes + 5, 'x');
  for (size_t i = 0; i < tensor.size(); ++i) tensor[i] = static_cast<char>(i * 31 >> 8);
  std::vector<Sha256Digest> chunks;
  for (const std::string& chunk : {tensor.substr(0, kChunkBytes), tensor.substr(kChunkBytes)}) {
    chunks.push_back(Sha256Of(chunk));
  }
  store_ = OpenStore(folder_, 16 << 20);
  ASSERT_TRUE(store_->Put(chunks[0], BytesOf(tensor.substr(0, kChunkBytes))).ok());
  EXPECT_FALSE(store_->Map(chunks, static_cast<int64_t>(tensor.size())).ok());
  ASSERT_TRUE(store_->Put(chunks[1], BytesOf(tensor.substr(kChunkBytes))).ok());
  const auto mapped = store_->Map(chunks, static_cast<int64_t>(tensor.size()));
  ASSERT_TRUE(mapped.ok()) << mapped.error().message;
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(mapped->bytes().data()), tensor.size()),
            tensor);
  // A size that does not fit the files is an error, not a fault when it is read.
  EXPECT_FALSE(store_->Map(chunks, static_cast<int64_t>(tensor.size()) + 1).ok());
}

TEST_F(ChunkStoreTest, LeavesForeignFilesAlone) {
  ASSERT_TRUE(store_->Put(digest_, BytesOf(text_)).ok());
  std::ofstream(folder_ + "/note") << "mine";
  std::filesystem::create_directory(folder_ + "/zz");
  std::ofstream(folder_ + "/zz/" + ToHex(digest_)) << text_;  // not where the name says
  store_ = OpenStore(folder_, 1 << 20);
  EXPECT_EQ(store_->used_bytes(), static_cast<int64_t>(text_.size()));
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/note"));
}

TEST_F(ChunkStoreTest, AFailedWriteNamesTheBytes) {
  std::filesystem::remove_all(folder_);
  std::ofstream(folder_) << "";  // nothing can be made in it
  const Status put = store_->Put(digest_, BytesOf(text_));
  ASSERT_FALSE(put.ok());
  EXPECT_THAT(put.error().message, HasSubstr("10 bytes"));
  EXPECT_THAT(put.error().message, HasSubstr(folder_));
  EXPECT_EQ(store_->used_bytes(), 0);
}

TEST_F(ChunkStoreTest, WhatStandsInAChunksPlaceMakesRoom) {
  const std::string outside = dir_.Write("outside", "not the store's");
  const std::filesystem::path chunk = PathIn(folder_, digest_);
  std::filesystem::create_directories(chunk / "below");
  std::filesystem::create_symlink(outside, chunk / "link");
  store_ = OpenStore(folder_, 1 << 20);
  EXPECT_FALSE(store_->Has(digest_));
  ASSERT_TRUE(store_->Put(digest_, BytesOf(text_)).ok());
  EXPECT_EQ(TextOf(store_->Find(digest_)), text_);
  EXPECT_TRUE(std::filesystem::exists(outside));

  std::filesystem::remove_all(chunk.parent_path());
  std::ofstream(chunk.parent_path()) << "a file where the folder has to be";
  EXPECT_EQ(store_->Find(digest_).owner, nullptr);
  ASSERT_TRUE(store_->Put(digest_, BytesOf(text_)).ok());
  EXPECT_EQ(TextOf(store_->Find(digest_)), text_);
}

TEST_F(ChunkStoreTest, WhatWasFoundStaysWhenItsFileIsCutShort) {
  ASSERT_TRUE(store_->Put(digest_, BytesOf(text_)).ok());
  const Content content = store_->Find(digest_);
  std::filesystem::resize_file(PathIn(folder_, digest_), 0);
  EXPECT_EQ(TextOf(content), text_);
  EXPECT_EQ(store_->Find(digest_).owner, nullptr);
}

// Gives up root's right to read everything, for as long as it lives.
class AsNobody {
 public:
  AsNobody() { CHECK(!kIsRoot || ::seteuid(kNobody) == 0, "root may become nobody"); }
  ~AsNobody() { CHECK(!kIsRoot || ::seteuid(0) == 0, "and root again"); }
  static void Own(const std::string& path) {
    CHECK(!kIsRoot || ::chown(path.c_str(), kNobody, kNobody) == 0, path);
  }

 private:
  static inline const bool kIsRoot = ::getuid() == 0;
  static constexpr uid_t kNobody = 65534;
};

TEST_F(ChunkStoreTest, AFolderThatCannotBeReadIsNamedAndDoneWithout) {
  ASSERT_TRUE(store_->Put(digest_, BytesOf(text_)).ok());
  const std::string locked = std::filesystem::path(PathIn(folder_, digest_)).parent_path();
  ASSERT_EQ(::chmod(locked.c_str(), 0), 0);
  for (const std::string& path : {dir_.path(), folder_}) AsNobody::Own(path);
  std::ostringstream said;
  const auto logger = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>(
      "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(said)));
  {
    const AsNobody nobody;
    const auto opened = ChunkStore::Open(folder_, 1 << 20);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    EXPECT_FALSE((*opened)->Has(digest_));
    const Status put = (*opened)->Put(digest_, BytesOf(text_));
    ASSERT_FALSE(put.ok());
    EXPECT_THAT(put.error().message, HasSubstr(locked));
  }
  ASSERT_EQ(::chmod(locked.c_str(), 0700), 0);
  spdlog::set_default_logger(logger);
  EXPECT_THAT(said.str(), HasSubstr(locked + ": Permission denied"));
}

TEST_F(ChunkStoreTest, WaitsForAChunkOnlyWhileOthersCome) {
  const auto never = [] { return false; };
  EXPECT_FALSE(store_->WaitFor(digest_, std::chrono::milliseconds(0), never));
  EXPECT_FALSE(store_->WaitFor(digest_, std::chrono::hours(1), [] { return true; }));
  ASSERT_TRUE(store_->Put(digest_, BytesOf(text_)).ok());
  EXPECT_TRUE(store_->WaitFor(digest_, std::chrono::milliseconds(0), never));
}

}  // namespace
}  // namespace shoal
