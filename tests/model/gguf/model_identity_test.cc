// Proves that a remembered identity is always the manifest's hash: it is found again for an
// unchanged file, and hashed anew after any change of the file or damage of the entry.
#include "model/gguf/model_identity.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/gguf_builder.h"
#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

class ModelIdentityTest : public ::testing::Test {
 protected:
  static std::string FileOf(int64_t tensor_bytes) {
    GgufBuilder builder;
    builder.AddString("general.architecture", "llama");
    builder.AddTensor("a", TensorType::kF32, {tensor_bytes / 4});
    return builder.Build().bytes;
  }

  // The identity of the file at `path`, which must be that of its manifest; counts hashed bytes.
  Sha256Digest IdentityOf(const std::string& path) {
    const GgufFile file = GgufFile::Open(path).value();
    hashed_ = 0;
    const Sha256Digest identity =
        ModelIdentity(file, pool_, cache_, [this](int64_t bytes) { hashed_ += bytes; });
    EXPECT_EQ(ToHex(identity), ToHex(BuildManifest(file, pool_).hash));
    return identity;
  }

  std::filesystem::path OnlyEntry() const {
    std::filesystem::path found;
    for (const auto& entry : std::filesystem::directory_iterator(cache_ + "/manifests")) {
      EXPECT_TRUE(found.empty()) << "two entries: " << found << " and " << entry.path();
      found = entry.path();
    }
    return found;
  }

  TempDir dir_;
  ThreadPool pool_{2};
  std::string cache_ = dir_.path() + "/cache";
  std::atomic<int64_t> hashed_ = 0;
};

TEST_F(ModelIdentityTest, TrapLargeFilesAreHashedOnce) {
  const std::string path = dir_.Write("m.gguf", FileOf(kRememberFromBytes));
  const Sha256Digest first = IdentityOf(path);
  EXPECT_EQ(hashed_, kRememberFromBytes);
  EXPECT_EQ(IdentityOf(path), first);
  EXPECT_EQ(hashed_, 0);
  std::filesystem::create_hard_link(path, dir_.path() + "/other-name.gguf");
  EXPECT_EQ(IdentityOf(dir_.path() + "/other-name.gguf"), first);
}

TEST_F(ModelIdentityTest, AChangedFileIsHashedAgain) {
  const std::string bytes = FileOf(kRememberFromBytes);
  const std::string path = dir_.Write("m.gguf", bytes);
  const Sha256Digest first = IdentityOf(path);
  // In place, so that only the time of change tells.
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(bytes.size() / 2));
  file.put(static_cast<char>(bytes[bytes.size() / 2] ^ 1));
  file.close();
  EXPECT_NE(IdentityOf(path), first);
  EXPECT_EQ(hashed_, kRememberFromBytes);
}

TEST_F(ModelIdentityTest, DamagedEntriesAreReplaced) {
  const std::string path = dir_.Write("m.gguf", FileOf(kRememberFromBytes));
  IdentityOf(path);
  for (const std::string& damage : {std::string(), std::string(31, 'x'), std::string(33, 'x')}) {
    std::ofstream(OnlyEntry(), std::ios::binary) << damage;
    IdentityOf(path);
    EXPECT_EQ(hashed_, kRememberFromBytes) << damage.size();
    IdentityOf(path);
    EXPECT_EQ(hashed_, 0) << damage.size();
  }
}

TEST_F(ModelIdentityTest, WorksWithoutACache) {
  const std::string path = dir_.Write("m.gguf", FileOf(kRememberFromBytes));
  dir_.Write("cache", "a file where the folder should be");
  IdentityOf(path);
  IdentityOf(path);
  EXPECT_EQ(hashed_, kRememberFromBytes);
  cache_.clear();
  IdentityOf(path);
  EXPECT_EQ(hashed_, kRememberFromBytes);
}

TEST_F(ModelIdentityTest, SmallFilesLeaveNothingBehind) {
  IdentityOf(dir_.Write("m.gguf", FileOf(4096)));
  EXPECT_FALSE(std::filesystem::exists(cache_));
}

}  // namespace
}  // namespace shoal
