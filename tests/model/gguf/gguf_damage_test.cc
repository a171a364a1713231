// Proves that damaged or hostile files give an error that names the field, and nothing worse: cut
// at every byte, each field set to bad values, wrong kinds of file, and seeded random mutations
// (seed printed on failure), whose survivors are held against every promise of the header.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "model/gguf/gguf_file.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/gguf_invariants.h"

namespace shoal {
namespace {

using enum GgufTypeNumber;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();

std::span<const std::byte> AsBytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// The error of parsing `bytes`; fails the test if there is none.
Error ParseError(std::string_view bytes) {
  // A copy of its own size, so that the address sanitizer sees a read past the end.
  const std::vector<char> exact(bytes.begin(), bytes.end());
  const auto file = GgufFile::Parse(std::as_bytes(std::span(exact)), "bad.gguf");
  EXPECT_FALSE(file.ok());
  return file.ok() ? Error{} : file.error();
}

TEST(GgufDamage, CutAtEveryByte) {
  const BuiltGguf built = VariedGguf().Build();
  for (size_t size = 0; size < built.bytes.size(); ++size) {
    const Error error = ParseError(std::string_view(built.bytes).substr(0, size));
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument) << size;
    // The field may be one that counts what is cut off, but some field of the file is named.
    const bool names_a_field = std::any_of(
        built.fields.begin(), built.fields.end(),
        [&](const auto& field) { return error.message.starts_with("bad.gguf: " + field.first); });
    EXPECT_TRUE(names_a_field || error.message.starts_with("bad.gguf: tensor data: "))
        << error.message;
  }
}

struct Damage {
  const char* name;
  std::function<void(BuiltGguf&)> apply;
  const char* expected;  // after "bad.gguf: "
  ErrorCode code = ErrorCode::kInvalidArgument;
};

template <typename T>
std::function<void(BuiltGguf&)> Set(const std::string& field, T value) {
  return [field, value](BuiltGguf& file) { file.Patch<T>(field, value); };
}

TEST(GgufDamage, EachFieldIsChecked) {
  const std::vector<Damage> damages = {
      {"tensor limit", Set("tensor count", kHuge),
       "tensor count: 18446744073709551615 is more than"},
      {"tensor count", Set("tensor count", uint64_t{100'000}), "tensor count: 100000 items need"},
      {"one tensor more", Set("tensor count", uint64_t{6}), "tensor"},
      {"pair limit", Set("metadata count", uint64_t{1} << 40), "metadata count: 1099511627776 is"},
      {"pair count", Set("metadata count", uint64_t{60'000}), "metadata count: 60000 items need"},
      {"key length", Set("metadata pair[3] key length", uint64_t{65'536}),
       "metadata pair[3] key length: 65536 is more than the limit of 65535"},
      {"key past the end", Set("metadata pair[3] key length", uint64_t{60'000}),
       "metadata pair[3] key: needs 60000 bytes"},
      {"empty key", Set("metadata pair[3] key length", uint64_t{0}), "metadata pair[3] key: "},
      {"value type", Set("metadata t.u8 type", uint32_t{13}),
       "metadata t.u8 type: 13 is not a metadata type (0 to 12)"},
      {"bool", Set("metadata t.bool", uint8_t{2}),
       "metadata t.bool: a bool is 0 or 1, the file has 2"},
      {"name length", Set("tensor[1] name length", uint64_t{257}),
       "tensor[1] name length: 257 is more than the limit of 256"},
      {"empty name", Set("tensor[1] name length", uint64_t{0}), "tensor[1] name: "},
      {"dimension count", Set("tensor cube dimension count", uint32_t{5}),
       "tensor cube dimension count: 5 is more than the limit of 4"},
      {"no values", Set("tensor cube dimension[1]", int64_t{0}),
       "tensor cube dimension[1]: 0 is not"},
      {"negative", Set("tensor cube dimension[1]", int64_t{-3}),
       "tensor cube dimension[1]: -3 is not"},
      {"overflow of values", Set("tensor cube dimension[1]", std::numeric_limits<int64_t>::max()),
       "tensor cube dimension[1]: with 9223372036854775807"},
      {"overflow of bytes", Set("tensor norm.weight dimension[0]", int64_t{1} << 62),
       "tensor norm.weight: 4611686018427387904 values of type F32 pass"},
      {"broken row", Set("tensor token_embd.weight dimension[0]", int64_t{48}),
       "tensor token_embd.weight: rows of 48 values are not a whole number of Q4_0 blocks of 32"},
      {"larger than the file", Set("tensor k dimension[1]", int64_t{3}),
       "tensor k offset: 630 bytes at "},
      {"offset past the end", Set("tensor k offset", uint64_t{1} << 40),
       "tensor k offset: 420 bytes at 1099511627776 of the tensor data, which has "},
      {"offset wraps round", Set("tensor k offset", kHuge - 31), "tensor k offset: 420 bytes at "},
      {"misaligned", Set("tensor k offset", uint64_t{33}),
       "tensor k offset: 33 is not a multiple of the alignment 32"},
      {"overlap", Set("tensor norm.weight offset", uint64_t{96}),
       "tensor norm.weight offset: 96 lies in tensor token_embd.weight, which ends at 108"},
      {"same place", Set("tensor scalar offset", uint64_t{0}), "tensor "},
      {"known type", Set("tensor cube type", uint32_t{36}),
       "tensor cube type: IQ4_NL_4_4 (unsupported); this build supports F32, F16, BF16, Q4_0",
       ErrorCode::kUnimplemented},
      {"unknown type", Set("tensor cube type", uint32_t{1000}),
       "tensor cube type: type 1000 (unknown); this build supports F32", ErrorCode::kUnimplemented},
      {"version 1", Set("version", uint32_t{1}),
       "version: GGUF version 1 is not supported; versions 2 to 3 are", ErrorCode::kUnimplemented},
      {"version 4", Set("version", uint32_t{4}), "version: GGUF version 4 is not supported",
       ErrorCode::kUnimplemented},
      {"big-endian", Set("version", uint32_t{0x03000000}),
       "version: the file is big-endian (GGUF version 3)", ErrorCode::kUnimplemented},
  };
  for (const Damage& damage : damages) {
    BuiltGguf built = VariedGguf().Build();
    damage.apply(built);
    const Error error = ParseError(built.bytes);
    EXPECT_EQ(error.code, damage.code) << damage.name;
    EXPECT_THAT(error.message, StartsWith(std::string("bad.gguf: ") + damage.expected))
        << damage.name;
  }
}

struct BadPair {
  const char* name;
  GgufTypeNumber type;
  std::string encoded;
  const char* expected;  // after "bad.gguf: metadata key"
};

// Arrays of arrays, `depth` deep.
std::string Nested(int depth) {
  std::string encoded = EncodeArray(kUint8, {});
  for (int i = 1; i < depth; ++i) encoded = EncodeArray(kArray, {encoded});
  return encoded;
}

TEST(GgufDamage, MetadataValuesAreChecked) {
  const std::vector<BadPair> pairs = {
      {"string limit", kString, Encode((uint64_t{64} << 20) + 1), " length: 67108865 is more than"},
      {"string length", kString, Encode(uint64_t{10'000}), ": needs 10000 bytes at offset"},
      {"string wraps", kString, Encode(kHuge), " length: 18446744073709551615 is more than"},
      {"element type", kArray, Encode(uint32_t{13}) + Encode(uint64_t{0}),
       " element type: 13 is not"},
      {"count limit", kArray, Encode(kUint8) + Encode((uint64_t{1} << 24) + 1),
       " element count: 16777217 is more than the limit of 16777216"},
      {"count", kArray, Encode(kFloat64) + Encode(uint64_t{1'000}),
       " element count: 1000 items need at least 8000 bytes"},
      {"strings", kArray, Encode(kString) + Encode(uint64_t{1'000'000}),
       " element count: 1000000 items need at least 8000000 bytes"},
      {"arrays", kArray, Encode(kArray) + Encode(uint64_t{1'000'000}),
       " element count: 1000000 items need at least 12000000 bytes"},
      {"element string", kArray,
       EncodeArray(kString, {EncodeString("ok"), Encode(uint64_t{99'999})}),
       "[1]: needs 99999 bytes"},
      {"element bool", kArray, EncodeArray(kBool, {"\1", "\3"}),
       "[1]: a bool is 0 or 1, the file has 3"},
      {"inner element", kArray,
       EncodeArray(kArray, {EncodeArray(kUint8, {}), EncodeArray(kBool, {"\1", "\7"})}),
       "[1][1]: a bool is 0 or 1"},
      {"depth", kArray, Nested(5), "[0][0][0][0]: arrays are nested more than 4 deep"},
  };
  for (const BadPair& pair : pairs) {
    GgufBuilder builder;
    builder.AddRaw("key", pair.type, pair.encoded);
    builder.AddTensor("t", TensorType::kF32, {8});
    EXPECT_THAT(ParseError(builder.Build().bytes).message,
                StartsWith(std::string("bad.gguf: metadata key") + pair.expected))
        << pair.name;
  }
  GgufBuilder builder;
  builder.AddRaw("key", kArray, Nested(4));
  EXPECT_TRUE(GgufFile::Parse(builder.Build().span(), "ok.gguf").ok());
}

TEST(GgufDamage, AlignmentIsAPowerOfTwoWithinLimits) {
  for (const uint32_t bad : {0U, 3U, 48U, 1U << 21, 0xffffffffU}) {
    BuiltGguf built = [] {
      GgufBuilder builder = VariedGguf();
      builder.AddAlignment(32);
      return builder.Build();
    }();
    built.Patch<uint32_t>("metadata general.alignment", bad);
    EXPECT_THAT(ParseError(built.bytes).message,
                StartsWith("bad.gguf: metadata general.alignment: " + std::to_string(bad) +
                           " is not a power of two of at most 1048576"));
  }
  GgufBuilder builder = VariedGguf();
  builder.AddString("general.alignment", "32");
  EXPECT_THAT(ParseError(builder.Build().bytes).message,
              HasSubstr("general.alignment: expected uint32, the file has string"));
}

TEST(GgufDamage, NamesAreUnique) {
  GgufBuilder keys;
  keys.AddUint32("general.x", 1);
  keys.AddUint32("general.x", 1);
  EXPECT_THAT(ParseError(keys.Build().bytes).message,
              HasSubstr("metadata general.x: the key is there twice"));
  GgufBuilder tensors;
  tensors.AddTensor("a.weight", TensorType::kF32, {1});
  tensors.AddTensor("a.weight", TensorType::kF32, {2});
  EXPECT_THAT(ParseError(tensors.Build().bytes).message,
              HasSubstr("tensor a.weight: the name is there twice"));
}

TEST(GgufDamage, OtherKindsOfFileAreRecognized) {
  const std::string filler(100, ' ');
  const std::vector<std::pair<std::string, std::string>> kinds = {
      {"Hello, this is a text file", "not a GGUF file (starts with \"Hello, this \")"},
      {"<!DOCTYPE html>", "it looks like a web page"},
      {"version https://git-lfs.github.com/spec/v1", "the model itself was not downloaded"},
      {"PK\3\4", "(starts with \"PK\\x03\\x04"},
      {Encode(uint64_t{60}) + "{\"a\":", "it looks like a safetensors file"},
      {"tjgg\3", "it is from before GGUF"},
  };
  for (const auto& [start, expected] : kinds) {
    const Error error = ParseError(start + filler);
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.message,
                AllOf(StartsWith("bad.gguf: magic: not a GGUF file"), HasSubstr(expected)));
  }
  EXPECT_THAT(ParseError("FUGG" + filler).message, HasSubstr("magic: the file is big-endian"));
  EXPECT_THAT(ParseError("G").message, HasSubstr("not a GGUF file (starts with \"G\")"));
}

TEST(GgufDamage, HostileNamesAreEscapedAndCutInMessages) {
  GgufBuilder builder;
  builder.AddRaw("\x1b[31m" + std::string(60'000, 'x'), kBool, "\2");
  const std::string message = ParseError(builder.Build().bytes).message;
  EXPECT_THAT(message, HasSubstr("metadata \\x1b[31mxxx"));
  EXPECT_LT(message.size(), 300U);
}

// Changes a few bytes, numbers or ranges of `bytes`.
void Mutate(std::string& bytes, std::mt19937_64& random) {
  const auto below = [&random](size_t limit) { return static_cast<size_t>(random() % limit); };
  const std::vector<uint64_t> numbers = {0,
                                         1,
                                         2,
                                         7,
                                         8,
                                         9,
                                         12,
                                         31,
                                         32,
                                         33,
                                         255,
                                         65'536,
                                         1 << 24,
                                         uint64_t{1} << 40,
                                         uint64_t{1} << 63,
                                         kHuge};
  const size_t changes = 1 + below(4);
  for (size_t i = 0; i < changes && !bytes.empty(); ++i) {
    const size_t at = below(bytes.size());
    switch (below(5)) {
      case 0: bytes[at] = static_cast<char>(random()); break;
      case 1: bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8))); break;
      case 2: {
        const std::string number = Encode(numbers[below(numbers.size())]);
        const size_t size = std::min({bytes.size() - at, number.size(), 4 + 4 * below(2)});
        bytes.replace(at, size, number, 0, size);
        break;
      }
      case 3: bytes.erase(at, 1 + below(16)); break;
      default: bytes.insert(at, bytes.substr(below(bytes.size()), 1 + below(16))); break;
    }
  }
}

// Mutates `bytes` `rounds` times. Most mutants of a header must be refused, and survivors keep
// every promise; both numbers are printed.
void MutationLoop(const std::string& bytes, size_t header_bytes, int rounds, uint64_t seed) {
  int survivors = 0;
  for (int round = 0; round < rounds; ++round) {
    std::mt19937_64 random(seed + static_cast<uint64_t>(round));
    std::string header = bytes.substr(0, header_bytes);
    Mutate(header, random);
    const std::string mutant = header + bytes.substr(header_bytes);
    const std::vector<char> exact(mutant.begin(), mutant.end());
    const auto span = std::as_bytes(std::span(exact));
    const auto file = GgufFile::Parse(span, "mutant.gguf");
    if (file.ok()) {
      ++survivors;
      ASSERT_EQ(GgufViolation(*file, span), "") << "seed " << seed << " round " << round;
    } else {
      ASSERT_THAT(file.error().message, StartsWith("mutant.gguf: "))
          << "seed " << seed << " round " << round;
    }
  }
  std::printf("seed %llu: %d of %d mutants accepted\n", static_cast<unsigned long long>(seed),
              survivors, rounds);
  EXPECT_LT(survivors, rounds * 3 / 4);
  EXPECT_GT(survivors, 0);
}

TEST(GgufDamage, MutantsOfABuiltFile) {
  const BuiltGguf built = VariedGguf().Build();
  const size_t header = built.fields.at("tensor token_embd.weight data").offset;
  for (const uint64_t seed : {1U, 1'000'000U, 2'000'000U}) {
    MutationLoop(built.bytes, header, 10'000, seed);
  }
}

TEST(GgufDamage, MutantsOfARealModel) {
  auto mapped = MappedFile::Open(SHOAL_TEST_DATA "/tiny-models/tiny-qwen2.gguf");
  ASSERT_TRUE(mapped.ok()) << mapped.error().message;
  const std::string bytes(reinterpret_cast<const char*>(mapped->bytes().data()),
                          mapped->bytes().size());
  auto file = GgufFile::Parse(AsBytes(bytes), "tiny-qwen2.gguf");
  ASSERT_TRUE(file.ok());
  const auto header = static_cast<size_t>(file->tensors()[0].bytes.data() -
                                          reinterpret_cast<const std::byte*>(bytes.data()));
  MutationLoop(bytes, header, 1'000, 7);
}

}  // namespace
}  // namespace shoal
