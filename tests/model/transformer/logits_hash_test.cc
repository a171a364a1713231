// Proves that logits are the same bits on every architecture and with every instruction set: their
// SHA-256, for each family's tiny model and for a small model of each tensor type, is the one that
// tests/data/logits.sha256 holds for all machines. Each run prints that file's lines anew: a model
// that is added, or bits that change for a reason, take theirs from there.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>

#include "base/sha256.h"
#include "kernels/isa.h"
#include "tests/kernels/random_blocks.h"
#include "tests/model/transformer/small_model.h"
#include "tests/model/transformer/stage_harness.h"

namespace shoal::testing {
namespace {

const std::string kDataFolder = SHOAL_TEST_DATA;

// A model, and the prompt whose logits are hashed.
struct Subject {
  std::string name;
  std::shared_ptr<const GgufFile> file;
  std::vector<int32_t> tokens;
  int32_t context_tokens = 0;  // that the session is granted, if more than the prompt
  TensorType kv_type = TensorType::kF16;
};

void PrintTo(const Subject& subject, std::ostream* out) { *out << subject.name; }

// The models that have golden logits, in the order of their names.
std::vector<std::string> TinyModels() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kDataFolder + "/tiny-models")) {
    if (entry.path().extension() != ".json") continue;
    names.push_back(entry.path().stem().string().substr(std::string("tiny-").size()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<Subject> AllSubjects() {
  std::vector<Subject> all;
  for (const std::string& name : TinyModels()) {
    const Golden golden = ReadGolden(name);
    all.push_back({name, OpenTinyModel(name), golden.tokens, golden.context});
  }
  const Golden golden = ReadGolden("qwen3");
  all.push_back(
      {"qwen3-kv-q8_0", OpenTinyModel("qwen3"), golden.tokens, golden.context, TensorType::kQ8_0});
  constexpr int32_t kTokens = kernels::kKvPageTokens + 9;
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < kTokens; ++i) tokens.push_back(i * 37 % 96);
  for (const TensorType type : kernels::kAllTensorTypes) {
    all.push_back({std::string(InfoOf(type).name), SmallModel("llama", type).Make(), tokens});
  }
  return all;
}

// Lines of `sha256sum`: a digest, two spaces, a name.
std::map<std::string, std::string> ExpectedHashes() {
  std::ifstream in(kDataFolder + "/logits.sha256");
  std::map<std::string, std::string> hashes;
  std::string hash;
  for (std::string name; in >> hash >> name;) hashes[name] = hash;
  return hashes;
}

class LogitsHashTest : public ::testing::TestWithParam<Subject> {};

TEST_P(LogitsHashTest, IsTheSameOnEveryMachine) {
  constexpr int kThreads = 2;
  constexpr int64_t kKvBudgetBytes = 64 << 20;
  constexpr int32_t kChunkTokens = 7;
  const auto& [name, file, tokens, context_tokens, kv_type] = GetParam();
  const std::string expected = ExpectedHashes()[name];
  for (const kernels::Isa isa : kernels::SupportedIsas()) {
    Pipeline pipeline(file, {}, isa, kThreads, kKvBudgetBytes, kv_type);
    Sha256 hash;
    for (const std::vector<float>& logits :
         LogitsOf(pipeline, tokens, kChunkTokens, context_tokens)) {
      const auto [least, most] = std::minmax_element(logits.begin(), logits.end());
      ASSERT_TRUE(std::isfinite(*least) && std::isfinite(*most) && *least < *most) << name;
      hash.Update(std::as_bytes(std::span(logits)));
    }
    const std::string hex = ToHex(hash.Finish());
    EXPECT_EQ(hex, expected) << name << ", " << kernels::IsaName(isa);
    if (isa == kernels::Isa::kReference) std::printf("%s  %s\n", hex.c_str(), name.c_str());
  }
}

INSTANTIATE_TEST_SUITE_P(Models, LogitsHashTest, ::testing::ValuesIn(AllSubjects()),
                         [](const auto& test) {
                           std::string name = test.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace shoal::testing
