// Runs a fuzz target without libFuzzer: every file of the corpus folder given as the argument, then
// seeded mutations of them, the same on every run. So the targets take part in every test run and
// under every sanitizer, whatever the compiler.
//
// A crash is in one of the thousand mutants from the number that was printed last. With that number
// as the second argument only these run, and each prints its number first.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr uint64_t kMutants = 50'000;
constexpr auto kMaxTime = std::chrono::seconds(8);
constexpr size_t kMaxBytes = 1 << 20;
constexpr uint64_t kTellEvery = 1'000;  // mutants between two numbers printed

std::vector<std::string> ReadCorpus(const char* folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());  // the order in which a folder is listed varies
  std::vector<std::string> corpus;
  for (const std::filesystem::path& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

void RunOne(const std::string& input) {
  // A copy of its own size, so that the address sanitizer sees a read past the end.
  const std::vector<uint8_t> exact(input.begin(), input.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

// Mutant `number`: a file of the corpus with up to eight changes.
std::string Mutant(const std::vector<std::string>& corpus, uint64_t number) {
  std::mt19937_64 random(number);
  const auto below = [&random](size_t limit) { return static_cast<size_t>(random() % limit); };
  std::string bytes = corpus[below(corpus.size())];
  for (size_t change = 1 + below(8); change > 0; --change) {
    const size_t at = below(bytes.size() + 1);
    switch (below(6)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(random());
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 2: {  // a number at or near a power of two, or its negative
        const uint64_t near = (uint64_t{1} << below(64)) + below(3) - 1;
        const uint64_t value = below(2) == 0 ? near : ~near;
        const size_t size = std::min(bytes.size() - at, size_t{1} << below(4));
        for (size_t i = 0; i < size; ++i) bytes[at + i] = static_cast<char>(value >> (8 * i));
        break;
      }
      case 3: bytes.erase(at, 1 + below(32)); break;
      case 4: bytes.insert(at, bytes.substr(below(bytes.size() + 1), 1 + below(32))); break;
      default: {  // a piece of another file
        const std::string& other = corpus[below(corpus.size())];
        bytes.insert(at, other.substr(below(other.size() + 1), 1 + below(64)));
        break;
      }
    }
  }
  bytes.resize(std::min(bytes.size(), kMaxBytes));
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s CORPUS [FIRST_MUTANT]\n", argv[0]);
    return 2;
  }
  const std::vector<std::string> corpus = ReadCorpus(argv[1]);
  if (corpus.empty()) {
    std::fprintf(stderr, "no files in %s\n", argv[1]);
    return 1;
  }
  const bool search = argc > 2;
  const uint64_t first = search ? std::strtoull(argv[2], nullptr, 10) : 0;
  const uint64_t end = search ? first + kTellEvery : kMutants;
  for (const std::string& input : corpus) RunOne(input);
  RunOne("");
  const auto start = std::chrono::steady_clock::now();
  uint64_t mutant = first;
  while (mutant < end && std::chrono::steady_clock::now() - start < kMaxTime) {
    if (search || mutant % kTellEvery == 0) {
      std::printf("mutant %llu\n", static_cast<unsigned long long>(mutant));
      std::fflush(stdout);
    }
    RunOne(Mutant(corpus, mutant));
    ++mutant;
  }
  std::printf("%zu files and %llu mutants\n", corpus.size(),
              static_cast<unsigned long long>(mutant - first));
  return 0;
}
