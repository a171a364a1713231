// The keys that clients of the HTTP server show, as `Authorization: Bearer KEY`. The file holds
// each key's name and SHA-256, never the key. A plain hash is enough, because a key is 256 random
// bits: there is nothing to guess that a slow hash would protect, as it does a password.
//
// Thread rule: ApiKeyFile belongs to one thread; the rest is values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/sha256.h"

namespace shoal {

struct ApiKey {
  std::string name;  // 1 to kMaxNameBytes letters, digits, '.', '_' and '-'
  Sha256Digest sha256{};
  int64_t created_unix_s = 0;

  static constexpr size_t kMaxNameBytes = 64;
};
constexpr size_t kMaxApiKeys = 1000;

// A new key in clear: "sk-shoal-" and 64 hexadecimal digits of the OS's randomness.
Result<std::string> MakeApiKey();
Status CheckApiKeyName(std::string_view name);

// The file's text, and back. Errors: not the JSON that ApiKeysJson makes, or beyond a limit.
Result<std::vector<ApiKey>> ParseApiKeys(std::string_view json);
std::string ApiKeysJson(const std::vector<ApiKey>& keys);
// The keys of the file at `path`; none if there is no file.
Result<std::vector<ApiKey>> LoadApiKeys(const std::string& path);

// Whether the value of an Authorization header shows one of the keys. Takes the same time whichever
// it is, and however much of it is right.
bool ShowsOneOf(const std::vector<ApiKey>& keys, std::string_view authorization);

// The keys of a file that may change at any time.
class ApiKeyFile {
 public:
  // An empty path: there are no keys and never will be.
  explicit ApiKeyFile(std::string path) : path_(std::move(path)) {}

  enum class Access { kOpen, kGranted, kRefused };
  // kOpen: there are no keys. What cannot be read refuses everyone, and the log says why.
  Access Check(std::string_view authorization);

 private:
  // What tells one version of a file from another: it is replaced, never written in place.
  struct Version {
    bool exists = false;
    uint64_t inode = 0;
    int64_t changed_ns = 0;
    bool operator==(const Version&) const = default;
  };
  void Refresh();

  const std::string path_;
  bool loaded_ = false;
  Version version_;
  bool broken_ = false;
  std::vector<ApiKey> keys_;
};

}  // namespace shoal
