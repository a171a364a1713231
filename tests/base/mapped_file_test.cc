// Proves that files are mapped whole and that everything that is no plain file with contents is an
// error that names it, without waiting for anything.
#include "base/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <utility>

#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Text(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST(MappedFile, HoldsTheWholeFile) {
  TempDir dir;
  std::string contents;
  for (int i = 0; i < 20'000; ++i) contents += std::to_string(i);
  auto file = MappedFile::Open(dir.Write("f", contents));
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(Text(*file), contents);
  EXPECT_EQ(file->path(), dir.path() + "/f");
  ReleasePages(file->bytes());
  ReleasePages(file->bytes().subspan(3, 5));
  EXPECT_EQ(Text(*file), contents);
}

TEST(MappedFile, MovesWithItsBytes) {
  TempDir dir;
  auto first = MappedFile::Open(dir.Write("a", "first"));
  auto second = MappedFile::Open(dir.Write("b", "second"));
  ASSERT_TRUE(first.ok() && second.ok());
  const std::byte* address = first->bytes().data();
  MappedFile moved = std::move(*first);
  EXPECT_EQ(moved.bytes().data(), address);
  EXPECT_TRUE(first->bytes().empty());  // NOLINT: the state after a move is part of the contract
  *second = std::move(moved);
  EXPECT_EQ(Text(*second), "first");
}

TEST(MappedFile, ReadsWhatIsStillThereOfAFileThatWasCutShort) {
  TempDir dir;
  const std::string path = dir.Write("f", "0123456789");
  auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(file->is_untouched());
  std::filesystem::resize_file(path, 6);
  EXPECT_FALSE(file->is_untouched());
  const auto before = file->Read(file->bytes().subspan(2, 4));
  ASSERT_TRUE(before.ok()) << before.error().message;
  EXPECT_EQ(*before, "2345");
  const auto beyond = file->Read(file->bytes().subspan(2, 5));
  ASSERT_FALSE(beyond.ok());
  EXPECT_EQ(beyond.error().code, ErrorCode::kDataLoss);
  EXPECT_EQ(beyond.error().message,
            path + ": it was cut short, it had 10 bytes when it was opened");
}

TEST(MappedFile, ReadsTheFileThatWasOpenedWhateverHasItsPath) {
  TempDir dir;
  const std::string path = dir.Write("f", "first");
  auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok());
  std::filesystem::rename(dir.Write("g", "other"), path);
  const auto read = file->Read(file->bytes());
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(*read, "first");
}

TEST(MappedFile, NamesWhatCannotBeMapped) {
  TempDir dir;
  const auto missing = MappedFile::Open(dir.path() + "/missing");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(missing.error().message, StartsWith(dir.path() + "/missing: cannot open: "));

  const auto below_a_file = MappedFile::Open(dir.Write("plain", "x") + "/below");
  ASSERT_FALSE(below_a_file.ok());
  EXPECT_EQ(below_a_file.error().code, ErrorCode::kNotFound);

  const auto folder = MappedFile::Open(dir.path());
  ASSERT_FALSE(folder.ok());
  EXPECT_EQ(folder.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(folder.error().message, dir.path() + ": not a regular file");

  const auto empty = MappedFile::Open(dir.Write("empty", ""));
  ASSERT_FALSE(empty.ok());
  EXPECT_THAT(empty.error().message, HasSubstr("/empty: the file is empty"));
}

TEST(MappedFile, DoesNotWaitForAPipe) {
  TempDir dir;
  const std::string pipe = dir.path() + "/pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const auto file = MappedFile::Open(pipe);
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().message, pipe + ": not a regular file");
}

}  // namespace
}  // namespace shoal
