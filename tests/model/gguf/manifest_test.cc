// Proves that a model's identity depends on names, types, shapes, bytes and metadata and on nothing
// else: not on the split into parts, the order of tensors, padding, the file's name or the number
// of threads. Oracle for the hash: the canonical form of the header, written out here
// independently.
#include "model/gguf/manifest.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "model/gguf/chunk_store.h"
#include "model/gguf/stored_model.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

Manifest ManifestOf(const GgufFile& file, int threads = 2) {
  ThreadPool pool(threads);
  return BuildManifest(file, pool);
}

GgufFile Parse(const BuiltGguf& built) {
  auto file = GgufFile::Parse(built.span(), "test.gguf");
  CHECK(file.ok(), file.ok() ? "" : file.error().message);
  return std::move(file).value();
}

std::string HashOfBuilt(const GgufBuilder& builder) {
  const BuiltGguf built = builder.Build();
  return ToHex(ManifestOf(Parse(built)).hash);
}

std::string Digest(const std::string& text) {
  const Sha256Digest digest = Sha256Of(std::as_bytes(std::span(text)));
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string Raw(const Sha256Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

TEST(Manifest, HashesTheDocumentedForm) {
  const std::string b_bytes(kChunkBytes + 4, 'b');
  GgufBuilder builder;
  builder.AddString("z", "last");
  builder.AddUint16("split.count", 1);
  builder.AddRaw("m", GgufTypeNumber::kArray,
                 EncodeArray(GgufTypeNumber::kBool, {"\1", std::string(1, '\0')}));
  builder.AddTensor("b", TensorType::kF32, {kChunkBytes / 4 + 1}, b_bytes);
  builder.AddTensor("a", TensorType::kF16, {2, 1}, "1234");
  const BuiltGguf built = builder.Build();
  const GgufFile file = Parse(built);
  const Manifest manifest = ManifestOf(file);

  const std::string metadata =
      Digest("shoal metadata 1\n" + EncodeString("m") + Encode(uint32_t{9}) + Encode(uint32_t{7}) +
             Encode(uint64_t{2}) + std::string("\1\0", 2) + EncodeString("z") +
             Encode(uint32_t{8}) + EncodeString("last"));
  const std::string a_head = EncodeString("a") + Encode(uint32_t{2}) + Encode(uint64_t{2}) +
                             Encode(uint64_t{1}) + Encode(uint32_t{1}) + Encode(uint64_t{4});
  const std::string b_head = EncodeString("b") + Encode(uint32_t{1}) +
                             Encode(uint64_t{kChunkBytes / 4 + 1}) + Encode(uint32_t{0}) +
                             Encode(uint64_t{kChunkBytes + 4});
  const std::string whole =
      Digest("shoal manifest 2\n" + metadata + Encode(uint64_t{2}) + a_head + Encode(uint64_t{1}) +
             Digest("1234") + b_head + Encode(uint64_t{2}) +
             Digest(b_bytes.substr(0, kChunkBytes)) + Digest("bbbb"));
  EXPECT_EQ(Raw(manifest.metadata_hash), metadata);
  EXPECT_EQ(Raw(manifest.hash), whole);
  EXPECT_EQ(Sha256Of(ManifestDocument(manifest)), manifest.hash);
  ASSERT_EQ(manifest.tensors.size(), 2U);
  EXPECT_EQ(manifest.tensors[1].chunks.size(), 2U);
  EXPECT_EQ(manifest.tensor_bytes(), kChunkBytes + 8);
}

TEST(Manifest, DoesNotDependOnOrderPaddingThreadsOrName) {
  GgufBuilder one;
  one.AddString("k", "v");
  one.AddUint32("n", 5);
  one.AddTensor("a", TensorType::kF32, {3});
  one.AddTensor("b", TensorType::kF32, {9});
  GgufBuilder other;
  other.alignment = 256;  // more padding than the format's 32 needs, a multiple of it
  other.AddUint32("n", 5);
  other.AddString("k", "v");
  other.AddTensor("b", TensorType::kF32, {9});
  other.AddTensor("a", TensorType::kF32, {3});
  // The data section begins at the file's alignment, so it has to begin at a multiple of both.
  const BuiltGguf first = one.Build();
  BuiltGguf second = other.Build();
  const size_t header_end = second.fields.at("tensor a offset").offset + 8;
  const size_t data = second.fields.at("tensor b data").offset;
  second.bytes.erase((header_end + 31) / 32 * 32, data - (header_end + 31) / 32 * 32);
  EXPECT_NE(first.bytes, second.bytes);
  const GgufFile first_file = Parse(first);
  const GgufFile second_file = Parse(second);
  for (const int threads : {1, 2, 5}) {
    EXPECT_EQ(ToHex(ManifestOf(first_file, threads).hash),
              ToHex(ManifestOf(second_file, threads).hash));
  }
}

TEST(Manifest, DoesNotDependOnTheSplitIntoParts) {
  TempDir dir;
  GgufBuilder whole;
  whole.AddString("general.architecture", "llama");
  whole.AddTensor("a", TensorType::kF32, {3});
  whole.AddTensor("b", TensorType::kF32, {9});
  GgufBuilder parts[2];
  parts[0].AddString("general.architecture", "llama");
  parts[0].AddTensor("b", TensorType::kF32, {9});
  parts[1].AddTensor("a", TensorType::kF32, {3});
  for (uint16_t i = 0; i < 2; ++i) {
    parts[i].AddUint16("split.no", i);
    parts[i].AddUint16("split.count", 2);
    parts[i].AddInt32("split.tensors.count", 2);
  }
  dir.Write("m-00001-of-00002.gguf", parts[0].Build().bytes);
  dir.Write("m-00002-of-00002.gguf", parts[1].Build().bytes);
  auto split = GgufFile::Open(dir.path() + "/m-00002-of-00002.gguf");
  ASSERT_TRUE(split.ok()) << split.error().message;
  EXPECT_EQ(ToHex(ManifestOf(*split).hash), HashOfBuilt(whole));
}

TEST(Manifest, DependsOnEverythingElse) {
  const std::string bytes = "0123456789abcdef";
  const std::vector<std::function<void(GgufBuilder&)>> variants = {
      [&](GgufBuilder& b) { b.AddTensor("a", TensorType::kF32, {4}, bytes); },
      [&](GgufBuilder& b) { b.AddTensor("b", TensorType::kF32, {4}, bytes); },
      [&](GgufBuilder& b) {
        b.AddTensor("a", TensorType::kF32, {4, 1}, bytes);
      },
      [&](GgufBuilder& b) {
        b.AddTensor("a", TensorType::kF32, {2, 2}, bytes);
      },
      [&](GgufBuilder& b) { b.AddTensor("a", TensorType::kF16, {8}, bytes); },
      [&](GgufBuilder& b) { b.AddTensor("a", TensorType::kBF16, {8}, bytes); },
      [&](GgufBuilder& b) { b.AddTensor("a", TensorType::kF32, {4}, "0123456789abcdeF"); },
      [&](GgufBuilder& b) {
        b.AddTensor("a", TensorType::kF32, {4}, bytes);
        b.AddString("k", "w");
      },
      [&](GgufBuilder& b) {
        b.AddTensor("a", TensorType::kF32, {4}, bytes);
        b.AddUint32("n", 1);
      },
      [&](GgufBuilder& b) {
        b.AddTensor("a", TensorType::kF32, {4}, bytes);
        b.AddInt32("n", 1);
      },
  };
  std::set<std::string> hashes;
  for (const auto& variant : variants) {
    GgufBuilder builder;
    builder.AddString("general.architecture", "llama");
    variant(builder);
    hashes.insert(HashOfBuilt(builder));
  }
  EXPECT_EQ(hashes.size(), variants.size());
}

TEST(Manifest, SeesEveryByte) {
  GgufBuilder builder;
  builder.AddTensor("a", TensorType::kF32, {100'000});
  BuiltGguf built = builder.Build();
  const std::string hash = ToHex(ManifestOf(Parse(built)).hash);
  built.bytes[built.fields.at("tensor a data").offset + 200'000] ^= 1;
  EXPECT_NE(ToHex(ManifestOf(Parse(built)).hash), hash);
}

TEST(Manifest, ProgressAddsUp) {
  GgufBuilder builder;
  builder.AddTensor("a", TensorType::kF32, {kChunkBytes});
  builder.AddTensor("b", TensorType::kF32, {10});
  const BuiltGguf built = builder.Build();
  ThreadPool pool(2);
  std::atomic<int64_t> bytes = 0;
  const Manifest manifest =
      BuildManifest(Parse(built), pool, [&bytes](int64_t chunk) { bytes += chunk; });
  EXPECT_EQ(bytes.load(), manifest.tensor_bytes());
}

TEST(Manifest, IsReadBackFromItsDocument) {
  const BuiltGguf built = VariedGguf().Build();
  const GgufFile file = Parse(built);
  const Manifest manifest = ManifestOf(file);
  const std::string document = ManifestDocument(manifest);
  const auto read = ParseManifest(document);
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(ManifestDocument(*read), document);
  EXPECT_EQ(read->hash, manifest.hash);
  for (size_t bytes = 0; bytes < document.size(); ++bytes) {
    EXPECT_FALSE(ParseManifest(document.substr(0, bytes)).ok()) << bytes;
  }
  EXPECT_FALSE(ParseManifest(document + "x").ok());
}

// A model of two layers, opened as a store holds it, against the file it came from.
TEST(StoredModel, HasTheTensorsOfItsLayersAndTheFilesBytes) {
  GgufBuilder builder;
  builder.AddString("general.architecture", "llama");
  builder.AddUint32("llama.block_count", 2);
  for (const char* name : {"token_embd.weight", "blk.0.a", "blk.1.a", "blk.1.b",
                           "rope_freqs.weight", "output_norm.weight"}) {
    builder.AddTensor(name, TensorType::kF32, {8});
  }
  const BuiltGguf built = builder.Build();
  const auto file = std::make_shared<const GgufFile>(Parse(built));
  const Manifest manifest = ManifestOf(*file);
  FileContents contents(file, manifest);
  const std::string metadata = MetadataDocument(*file);
  const auto model = StoredModel::Make(ManifestDocument(manifest), metadata);
  ASSERT_TRUE(model.ok()) << model.error().message;
  const auto names = [&](int32_t begin, int32_t end) {
    std::set<std::string> found;
    for (const ManifestTensor* tensor : model->TensorsOf(begin, end)) found.insert(tensor->name);
    return found;
  };
  using Names = std::set<std::string>;
  EXPECT_EQ(names(0, 1), (Names{"token_embd.weight", "blk.0.a", "rope_freqs.weight"}));
  // Without an output.weight, the embedding is the head, too.
  EXPECT_EQ(names(1, 2), (Names{"token_embd.weight", "blk.1.a", "blk.1.b", "rope_freqs.weight",
                                "output_norm.weight"}));

  const TempDir dir;
  auto store = ChunkStore::Open(dir.path(), 1 << 20);
  ASSERT_TRUE(store.ok());
  const auto tensors = model->TensorsOf(1, 2);
  for (const auto& [chunk, bytes] : ChunksOf(tensors)) {
    const Content content = contents.Find(chunk);
    ASSERT_EQ(static_cast<int64_t>(content.bytes.size()), bytes);
    ASSERT_TRUE((*store)->Put(chunk, content.bytes).ok());
  }
  const auto opened = model->Open(**store, tensors);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(MetadataDocument(*opened), metadata);
  for (const TensorInfo& tensor : file->tensors()) {
    const TensorInfo* found = opened->FindTensor(tensor.name);
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->shape, tensor.shape);
    if (tensor.name == "blk.0.a") {
      EXPECT_TRUE(found->bytes.empty());
    } else {
      EXPECT_TRUE(std::equal(found->bytes.begin(), found->bytes.end(), tensor.bytes.begin(),
                             tensor.bytes.end()));
    }
  }
}

// As `cp` does it: the file that is served gets other bytes, and fewer.
TEST(FileContents, DoesNotFindWhatWasOverwrittenInPlace) {
  GgufBuilder builder;
  for (const char* name : {"a", "b", "c"}) builder.AddTensor(name, TensorType::kF32, {4096});
  const BuiltGguf built = builder.Build();
  const TempDir dir;
  const std::string_view text(reinterpret_cast<const char*>(built.span().data()),
                              built.span().size());
  const std::string path = dir.Write("model.gguf", text);
  auto opened = GgufFile::Open(path);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const auto file = std::make_shared<const GgufFile>(std::move(*opened));
  const Manifest manifest = ManifestOf(*file);
  FileContents contents(file, manifest);
  const auto finds = [&](size_t tensor) {
    return contents.Find(manifest.tensors[tensor].chunks[0]).owner != nullptr;
  };
  EXPECT_TRUE(finds(0) && finds(1) && finds(2));
  const std::span<const std::byte> second = file->FindTensor("b")->bytes;
  const size_t offset = text.find({reinterpret_cast<const char*>(second.data()), second.size()});
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
          .seekp(static_cast<std::streamoff>(offset))
      << "other";
  std::filesystem::resize_file(path, text.size() - 1);
  EXPECT_TRUE(finds(0));
  EXPECT_FALSE(finds(1));
  EXPECT_FALSE(finds(2));
  EXPECT_NE(contents.Find(manifest.hash).owner, nullptr);
  EXPECT_NE(contents.Find(manifest.metadata_hash).owner, nullptr);
}

TEST(StoredModel, RefusesMetadataOfAnotherModel) {
  const BuiltGguf built = VariedGguf().Build();
  const GgufFile file = Parse(built);
  const auto model = StoredModel::Make(ManifestDocument(ManifestOf(file)), "shoal metadata 1\n");
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, ErrorCode::kDataLoss);
}

}  // namespace
}  // namespace shoal
