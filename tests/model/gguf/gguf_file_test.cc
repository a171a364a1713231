// Proves that well-formed files are read as written: metadata of every type, tensors, both
// versions, odd alignments, vocabulary-only files, and real models. Oracles: the builder's own
// values, and the figures with which the tiny models were made.
#include "model/gguf/gguf_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>

#include "tests/support/gguf_builder.h"
#include "tests/support/gguf_invariants.h"
#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

GgufFile ParseOk(const BuiltGguf& built) {
  auto file = GgufFile::Parse(built.span(), "test.gguf");
  CHECK(file.ok(), file.ok() ? "" : file.error().message);
  EXPECT_EQ(GgufViolation(*file, built.span()), "");
  return std::move(file).value();
}

std::string BytesOf(const TensorInfo& tensor) {
  return {reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size()};
}

TEST(GgufFile, ReadsMetadataOfEveryType) {
  const BuiltGguf built = VariedGguf().Build();
  const GgufFile file = ParseOk(built);
  EXPECT_EQ(file.version(), 3U);
  EXPECT_EQ(file.path(), "test.gguf");
  EXPECT_EQ(file.String("general.architecture").value(), "llama");
  EXPECT_EQ(file.Int("t.u8").value(), 200);
  EXPECT_EQ(file.Int("t.i8").value(), -100);
  EXPECT_EQ(file.Int("t.u16").value(), 60'000);
  EXPECT_EQ(file.Int("t.i16").value(), -30'000);
  EXPECT_EQ(file.Int("t.u32").value(), 4'000'000'000);
  EXPECT_EQ(file.Int("t.i32").value(), -2'000'000'000);
  EXPECT_EQ(file.Int("t.u64").value(), 1'000'000'000'000);
  EXPECT_EQ(file.Int("t.i64").value(), -1'000'000'000'000);
  EXPECT_EQ(file.Float("t.f32").value(), 1.5);
  EXPECT_EQ(file.Float("t.f64").value(), 2.25);
  EXPECT_EQ(file.Float("t.i8").value(), -100.0);
  EXPECT_TRUE(file.Bool("t.bool").value());
  EXPECT_THAT(file.Strings("a.strings").value(), ElementsAre("one", "", "\xff\xfe"));
  EXPECT_THAT(file.Ints("a.i32").value(), ElementsAre(1, -2, 3));
  EXPECT_THAT(file.Floats("a.f32").value(), ElementsAre(0.5F, -0.5F));

  const auto& flags = std::get<GgufArray>(file.metadata().at("a.bool"));
  EXPECT_THAT(std::get<std::vector<bool>>(flags.elements), ElementsAre(true, false));
  const auto& nested = std::get<GgufArray>(file.metadata().at("a.nested"));
  const auto& arrays = std::get<std::vector<GgufArray>>(nested.elements);
  ASSERT_EQ(arrays.size(), 2U);
  EXPECT_THAT(std::get<std::vector<uint8_t>>(arrays[0].elements), ElementsAre(1, 2));
  EXPECT_TRUE(std::get<std::vector<std::string_view>>(arrays[1].elements).empty());
}

TEST(GgufFile, LookUpsThatDoNotFitNameKeyAndType) {
  GgufBuilder builder = VariedGguf();
  builder.AddRaw("t.huge", GgufTypeNumber::kUint64, Encode(std::numeric_limits<uint64_t>::max()));
  const BuiltGguf built = builder.Build();
  const GgufFile file = ParseOk(built);
  EXPECT_EQ(file.Int("nope").error().code, ErrorCode::kNotFound);
  EXPECT_THAT(file.Int("nope").error().message, HasSubstr("test.gguf: metadata nope: missing"));
  EXPECT_EQ(file.Int("t.f32").error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(file.Int("t.f32").error().message,
              HasSubstr("metadata t.f32: expected an integer, the file has float32"));
  EXPECT_THAT(file.Int("t.bool").error().message, HasSubstr("the file has bool"));
  EXPECT_THAT(file.Int("t.huge").error().message, HasSubstr("18446744073709551615 does not fit"));
  EXPECT_THAT(file.Bool("t.u8").error().message, HasSubstr("expected bool, the file has uint8"));
  EXPECT_THAT(file.String("t.u8").error().message, HasSubstr("expected string"));
  EXPECT_THAT(file.Float("t.bool").error().message, HasSubstr("expected a number"));
  EXPECT_THAT(file.Strings("a.i32").error().message, HasSubstr("the file has array of int32"));
  EXPECT_THAT(file.Ints("a.f32").error().message, HasSubstr("the file has array of float32"));
  EXPECT_THAT(file.Floats("a.i32").error().message, HasSubstr("expected array of floats"));
  EXPECT_THAT(file.Floats("t.f32").error().message, HasSubstr("the file has float32"));
}

TEST(GgufFile, DefaultsServeMissingKeysOnly) {
  const BuiltGguf built = VariedGguf().Build();
  const GgufFile file = ParseOk(built);
  EXPECT_EQ(file.IntOr("nope", 7).value(), 7);
  EXPECT_EQ(file.IntOr("t.u8", 7).value(), 200);
  EXPECT_FALSE(file.IntOr("t.f32", 7).ok());
  EXPECT_EQ(file.StringOr("nope", "x").value(), "x");
  EXPECT_FALSE(file.StringOr("t.u8", "x").ok());
  EXPECT_EQ(file.FloatOr("nope", 0.5).value(), 0.5);
  EXPECT_FALSE(file.FloatOr("t.bool", 0.5).ok());
  EXPECT_TRUE(file.BoolOr("nope", true).value());
  EXPECT_FALSE(file.BoolOr("t.u8", true).ok());
}

TEST(GgufFile, ReadsTensorsInFileOrder) {
  const BuiltGguf built = VariedGguf().Build();
  const GgufFile file = ParseOk(built);
  ASSERT_EQ(file.tensors().size(), 5U);
  const TensorInfo& first = file.tensors()[0];
  EXPECT_EQ(first.name, "token_embd.weight");
  EXPECT_EQ(first.type, TensorType::kQ4_0);
  EXPECT_EQ(first.cols(), 64);
  EXPECT_EQ(first.rows(), 3);
  EXPECT_EQ(first.bytes.size(), 3U * 2 * 18);
  for (const TensorInfo& tensor : file.tensors()) {
    const BuiltGguf::Field field = built.fields.at("tensor " + tensor.name + " data");
    EXPECT_EQ(BytesOf(tensor), built.bytes.substr(field.offset, field.size)) << tensor.name;
  }
  const TensorInfo* scalar = file.FindTensor("scalar");
  ASSERT_NE(scalar, nullptr);
  EXPECT_EQ(scalar->values(), 1);
  EXPECT_EQ(file.FindTensor("cube")->rows(), 12);
  EXPECT_EQ(file.FindTensor("cub"), nullptr);
}

TEST(GgufFile, LookUpsSurviveAMove) {
  const BuiltGguf built = VariedGguf().Build();
  GgufFile file = ParseOk(built);
  GgufFile moved = std::move(file);
  GgufFile assigned = ParseOk(GgufBuilder().Build());
  assigned = std::move(moved);
  // "k" is short enough to be kept inside its std::string.
  for (const char* name : {"k", "cube", "token_embd.weight"}) {
    const TensorInfo* tensor = assigned.FindTensor(name);
    ASSERT_NE(tensor, nullptr) << name;
    EXPECT_EQ(tensor->name, name);
  }
  EXPECT_EQ(GgufViolation(assigned, built.span()), "");
}

TEST(GgufFile, AcceptsVersionsAlignmentsAndFilesWithoutTensors) {
  for (const uint32_t version : {2U, 3U}) {
    for (const uint32_t alignment : {1U, 8U, 64U, 4096U}) {
      GgufBuilder builder = VariedGguf();
      builder.version = version;
      builder.AddAlignment(alignment);
      const BuiltGguf built = builder.Build();
      const GgufFile file = ParseOk(built);
      EXPECT_EQ(file.version(), version);
      for (const TensorInfo& tensor : file.tensors()) {
        EXPECT_EQ((tensor.bytes.data() - built.span().data()) % alignment, 0) << tensor.name;
      }
    }
  }
  GgufBuilder vocabulary;
  vocabulary.AddStrings("tokenizer.ggml.tokens", {"a", "b"});
  const BuiltGguf built = vocabulary.Build();
  EXPECT_TRUE(ParseOk(built).tensors().empty());
  const BuiltGguf empty = GgufBuilder().Build();
  EXPECT_TRUE(ParseOk(empty).metadata().empty());
}

TEST(GgufFile, OpensFromDiskAndReleasesPages) {
  TempDir dir;
  const BuiltGguf built = VariedGguf().Build();
  const std::string path = dir.Write("model.gguf", built.bytes);
  auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->parts(), 1);
  EXPECT_EQ(file->file_bytes(), static_cast<int64_t>(built.bytes.size()));
  const std::string before = BytesOf(file->tensors()[0]);
  for (const TensorInfo& tensor : file->tensors()) file->Release(tensor.bytes);
  EXPECT_EQ(BytesOf(file->tensors()[0]), before);
  const auto missing = GgufFile::Open(dir.path() + "/missing.gguf");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("missing.gguf"));
  EXPECT_THAT(GgufFile::Open(dir.path()).error().message, HasSubstr("not a regular file"));
  EXPECT_THAT(GgufFile::Open(dir.Write("empty.gguf", "")).error().message, HasSubstr("empty"));
}

struct TinyModel {
  const char* file;
  const char* architecture;
  size_t tensors;
};

class TinyModels : public ::testing::TestWithParam<TinyModel> {};

TEST_P(TinyModels, AreRead) {
  const std::string path = std::string(SHOAL_TEST_DATA "/tiny-models/") + GetParam().file + ".gguf";
  auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->String("general.architecture").value(), GetParam().architecture);
  EXPECT_EQ(file->tensors().size(), GetParam().tensors);
  const std::string prefix = GetParam().architecture;
  const TensorInfo* embedding = file->FindTensor("token_embd.weight");
  ASSERT_NE(embedding, nullptr);
  EXPECT_EQ(embedding->cols(), file->Int(prefix + ".embedding_length").value());
  auto mapped = MappedFile::Open(path);
  ASSERT_TRUE(mapped.ok());
  auto parsed = GgufFile::Parse(mapped->bytes(), path);
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_EQ(GgufViolation(*parsed, mapped->bytes()), "");
}

INSTANTIATE_TEST_SUITE_P(All, TinyModels,
                         ::testing::Values(TinyModel{"tiny-llama-gqa", "llama", 39},
                                           TinyModel{"tiny-llama-linear-scaling", "llama", 39},
                                           TinyModel{"tiny-llama-tied-rope3", "llama", 39},
                                           TinyModel{"tiny-llama-yarn", "llama", 39},
                                           TinyModel{"tiny-mistral-wide-head", "llama", 39},
                                           TinyModel{"tiny-qwen2", "qwen2", 50},
                                           TinyModel{"tiny-qwen3", "qwen3", 46},
                                           TinyModel{"tiny-gemma2", "gemma2", 46}));

}  // namespace
}  // namespace shoal
