// Proves that a model in several parts is read as one, from whichever part is named, and that parts
// that are missing, renamed, mixed up or in contradiction are named in the error.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "model/gguf/gguf_file.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int kParts = 3;

std::string PartName(int number, int count = kParts) {
  char name[64];
  std::snprintf(name, sizeof(name), "m-%05d-of-%05d.gguf", number, count);
  return name;
}

// The three parts of a model, as the usual tool splits it: metadata in the first, tensors in all.
std::vector<GgufBuilder> Parts() {
  std::vector<GgufBuilder> parts(kParts);
  parts[0].AddString("general.architecture", "llama");
  for (uint16_t i = 0; i < kParts; ++i) {
    parts[i].AddUint16("split.no", i);
    parts[i].AddUint16("split.count", kParts);
    parts[i].AddInt32("split.tensors.count", 4);
  }
  parts[0].AddTensor("a", TensorType::kF32, {3});
  parts[1].AddTensor("b", TensorType::kQ8_0, {32, 2});
  parts[1].AddTensor("c", TensorType::kF32, {5});
  parts[2].AddTensor("d", TensorType::kF16, {7});
  return parts;
}

// Writes the parts, each after `damage` of the built file, and opens part `open`.
Result<GgufFile> OpenParts(const TempDir& dir, const std::vector<GgufBuilder>& parts, int open = 1,
                           const std::function<void(int, BuiltGguf&)>& damage = {}) {
  for (int i = 1; i <= kParts; ++i) {
    BuiltGguf built = parts[static_cast<size_t>(i - 1)].Build();
    if (damage) damage(i, built);
    dir.Write(PartName(i), built.bytes);
  }
  return GgufFile::Open(dir.path() + "/" + PartName(open));
}

TEST(GgufParts, AnyPartOpensTheWhole) {
  for (int open = 1; open <= kParts; ++open) {
    TempDir dir;
    auto file = OpenParts(dir, Parts(), open);
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->parts(), kParts);
    EXPECT_EQ(file->String("general.architecture").value(), "llama");
    std::vector<std::string> names;
    std::vector<int> parts;
    for (const TensorInfo& tensor : file->tensors()) {
      names.push_back(tensor.name);
      parts.push_back(tensor.part);
      file->Release(tensor.bytes);
    }
    EXPECT_THAT(names, ElementsAre("a", "b", "c", "d"));
    EXPECT_THAT(parts, ElementsAre(0, 1, 1, 2));
    EXPECT_EQ(file->FindTensor("d")->bytes.size(), 14U);
  }
}

TEST(GgufParts, TotalsCountEveryPart) {
  TempDir dir;
  auto file = OpenParts(dir, Parts());
  ASSERT_TRUE(file.ok()) << file.error().message;
  size_t bytes = 0;
  for (const GgufBuilder& part : Parts()) bytes += part.Build().bytes.size();
  EXPECT_EQ(file->file_bytes(), static_cast<int64_t>(bytes));
}

TEST(GgufParts, MissingPartIsNamed) {
  TempDir dir;
  dir.Write(PartName(1), Parts()[0].Build().bytes);
  const auto file = GgufFile::Open(dir.path() + "/" + PartName(1));
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(file.error().message,
              AllOf(HasSubstr("part 2 of 3"), HasSubstr(PartName(2)), HasSubstr("No such file")));
}

void ExpectError(const std::vector<GgufBuilder>& parts,
                 const std::function<void(int, BuiltGguf&)>& damage, int named_part,
                 const std::string& expected) {
  TempDir dir;
  const auto file = OpenParts(dir, parts, 1, damage);
  ASSERT_FALSE(file.ok()) << expected;
  EXPECT_THAT(file.error().message, AllOf(HasSubstr(PartName(named_part)), HasSubstr(expected)));
}

TEST(GgufParts, SplitKeysHaveToFitTheNames) {
  ExpectError(
      Parts(),
      [](int number, BuiltGguf& part) {
        if (number == 3) part.Patch<uint16_t>("metadata split.no", 1);
      },
      3, "metadata split.no: expected 2 (by its name the file is part 3 of 3), the file has 1");
  ExpectError(
      Parts(),
      [](int number, BuiltGguf& part) {
        if (number == 2) part.Patch<uint16_t>("metadata split.count", 4);
      },
      2, "metadata split.count: expected 3 (by its name the file is part 2 of 3), the file has 4");
  ExpectError(
      Parts(),
      [](int number, BuiltGguf& part) {
        if (number == 2) part.Patch<int32_t>("metadata split.tensors.count", 5);
      },
      2, "metadata split.tensors.count: 5, but an earlier part has 4");
  ExpectError(
      Parts(), [](int, BuiltGguf& part) { part.Patch<int32_t>("metadata split.tensors.count", 5); },
      1, "metadata split.tensors.count: 5, but 3 part(s) have 4 tensors");
}

TEST(GgufParts, SplitKeysAreThereAndIntegers) {
  std::vector<GgufBuilder> parts = Parts();
  parts[1] = GgufBuilder();
  ExpectError(parts, {}, 2,
              "metadata split.count: missing, but by its name the file is part 2 of 3");
  parts[1].AddString("split.count", "3");
  ExpectError(parts, {}, 2, "metadata split.count: expected an integer, the file has string");
}

TEST(GgufParts, PartsMayRepeatMetadataButNotContradictIt) {
  std::vector<GgufBuilder> parts = Parts();
  parts[1].AddString("general.architecture", "llama");
  TempDir dir;
  EXPECT_TRUE(OpenParts(dir, parts).ok());
  parts[2].AddString("general.architecture", "qwen2");
  ExpectError(parts, {}, 3, "metadata general.architecture: its value differs from that in ");
}

TEST(GgufParts, PartsHaveOneVersion) {
  std::vector<GgufBuilder> parts = Parts();
  parts[2].version = 2;
  ExpectError(parts, {}, 3, "version: 2, but ");
}

TEST(GgufParts, TensorNamesAreUniqueAcrossParts) {
  std::vector<GgufBuilder> parts = Parts();
  parts[2].AddTensor("a", TensorType::kF32, {3});
  const auto five = [](int, BuiltGguf& part) {
    part.Patch<int32_t>("metadata split.tensors.count", 5);
  };
  ExpectError(parts, five, 3, "tensor a: the name is there twice, first in ");
}

TEST(GgufParts, DamagedPartIsNamed) {
  ExpectError(
      Parts(),
      [](int number, BuiltGguf& part) { part.bytes.resize(number == 2 ? 30 : part.bytes.size()); },
      2, "");
}

TEST(GgufParts, ARenamedPartIsNotAWholeModel) {
  TempDir dir;
  const auto file = GgufFile::Open(dir.Write("renamed.gguf", Parts()[0].Build().bytes));
  ASSERT_FALSE(file.ok());
  EXPECT_THAT(file.error().message,
              HasSubstr("renamed.gguf: metadata split.count: expected 1 (by its name the file is "
                        "part 1 of 1), the file has 3"));
}

TEST(GgufParts, OneOfOneIsAnOrdinaryFile) {
  TempDir dir;
  const std::string bytes = VariedGguf().Build().bytes;
  for (const std::string name : {"m-00001-of-00001.gguf", "m-00004-of-00003.gguf",
                                 "m-0001-of-0003.gguf", "-00001-of-00003.gguf"}) {
    const auto file = GgufFile::Open(dir.Write(name, bytes));
    // The last is a folder's name and then a part without a stem, which is a part all the same.
    const bool is_part = name.starts_with("-");
    EXPECT_EQ(file.ok(), !is_part) << name;
  }
}

TEST(GgufParts, NumberOfPartsIsLimited) {
  TempDir dir;
  const auto file = GgufFile::Open(dir.Write(PartName(1, 99'999), VariedGguf().Build().bytes));
  ASSERT_FALSE(file.ok());
  EXPECT_THAT(file.error().message, HasSubstr("99999 parts are more than the limit of 1024"));
}

}  // namespace
}  // namespace shoal
