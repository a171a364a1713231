#include "base/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace shoal {
namespace {

class AtomicFile : public testing::Test {
 protected:
  AtomicFile() {
    char pattern[] = "/tmp/shoal-atomic-XXXXXX";
    folder_ = ::mkdtemp(pattern);
  }
  ~AtomicFile() override { std::filesystem::remove_all(folder_); }
  std::string In(const std::string& name) const { return folder_ + "/" + name; }

  std::string folder_;
};

TEST_F(AtomicFile, ReplacesAllAndLeavesNothingBeside) {
  const std::string path = In("file");
  ASSERT_TRUE(WriteFileAtomically(path, std::string(100'000, 'a')).ok());
  ASSERT_TRUE(WriteFileAtomically(path, std::string("b\0c", 3)).ok());
  const Result<std::string> read = ReadFileUpTo(path, 3);
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(*read, std::string("b\0c", 3));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
  struct stat found = {};
  ASSERT_EQ(::stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
}

TEST_F(AtomicFile, AWriteThatFailsLeavesTheOldFile) {
  const std::string path = In("folder");
  std::filesystem::create_directory(path);
  const Status written = WriteFileAtomically(path, "x");  // a folder is not replaced by a file
  ASSERT_FALSE(written.ok());
  EXPECT_NE(written.error().message.find(path), std::string::npos);
  EXPECT_TRUE(std::filesystem::is_directory(path));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(AtomicFile, NamesWhatIsMissingAndWhatIsTooLong) {
  EXPECT_EQ(ReadFileUpTo(In("none"), 10).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(WriteFileAtomically(In("long"), "12345").ok());
  EXPECT_EQ(ReadFileUpTo(In("long"), 4).error().message, In("long") + " is longer than 4 bytes");
  EXPECT_EQ(WriteFileAtomically(In("none/file"), "x").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace shoal
