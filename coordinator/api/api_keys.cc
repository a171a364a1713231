#include "coordinator/api/api_keys.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>

#include "base/atomic_file.h"
#include "base/clock.h"
#include "base/log.h"

namespace shoal {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kKeyPrefix = "sk-shoal-";
constexpr int64_t kMaxFileBytes = 1 << 20;

bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

std::optional<Sha256Digest> ParseDigest(const std::string& hex) {
  Sha256Digest digest;
  if (hex.size() != 2 * digest.size()) return std::nullopt;
  const auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (size_t i = 0; i < hex.size(); ++i) {
    const char c = hex[i];
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return std::nullopt;
    digest[i / 2] = static_cast<uint8_t>(digest[i / 2] << 4 | value(c));
  }
  return digest;
}

Result<ApiKey> ParseKey(const Json& entry) {
  const auto text = [&](const char* field) {
    const auto found = entry.is_object() ? entry.find(field) : entry.end();
    return found != entry.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  ApiKey key;
  key.name = text("name");
  RETURN_IF_ERROR(CheckApiKeyName(key.name));
  const std::optional<Sha256Digest> digest = ParseDigest(text("sha256"));
  if (!digest) return DataLoss(fmt::format("key '{}': its sha256 is not 64 hex digits", key.name));
  key.sha256 = *digest;
  const auto created = entry.find("created_unix_s");
  if (created != entry.end() && created->is_number_integer()) {
    key.created_unix_s = created->get<int64_t>();
  }
  return key;
}

}  // namespace

Result<std::string> MakeApiKey() {
  Sha256Digest random;  // as many bytes as a digest, so that ToHex writes it
  if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) {
    return Unavailable("the operating system gives no randomness");
  }
  return std::string(kKeyPrefix) + ToHex(random);
}

Status CheckApiKeyName(std::string_view name) {
  if (!name.empty() && name.size() <= ApiKey::kMaxNameBytes &&
      std::all_of(name.begin(), name.end(), IsNameByte)) {
    return OkStatus();
  }
  return InvalidArgument(fmt::format(
      "a key's name has 1 to {} letters, digits, '.', '_' and '-'; this one has {} bytes",
      ApiKey::kMaxNameBytes, name.size()));
}

Result<std::vector<ApiKey>> ParseApiKeys(std::string_view json) {
  const Json file = Json::parse(json, nullptr, false);
  const auto entries = file.is_object() ? file.find("keys") : file.end();
  if (entries == file.end() || !entries->is_array()) {
    return DataLoss("expected a JSON object with an array 'keys'");
  }
  if (entries->size() > kMaxApiKeys) {
    return DataLoss(fmt::format("{} keys are more than {}", entries->size(), kMaxApiKeys));
  }
  std::vector<ApiKey> keys;
  std::set<std::string> names;
  for (const Json& entry : *entries) {
    ASSIGN_OR_RETURN(ApiKey key, ParseKey(entry));
    if (!names.insert(key.name).second) {
      return DataLoss(fmt::format("there are two keys named '{}'", key.name));
    }
    keys.push_back(std::move(key));
  }
  return keys;
}

std::string ApiKeysJson(const std::vector<ApiKey>& keys) {
  Json entries = Json::array();
  for (const ApiKey& key : keys) {
    entries.push_back({{"name", key.name},
                       {"sha256", ToHex(key.sha256)},
                       {"created_unix_s", key.created_unix_s}});
  }
  return Json{{"keys", std::move(entries)}}.dump(2) + "\n";
}

Result<std::vector<ApiKey>> LoadApiKeys(const std::string& path) {
  const Result<std::string> text = ReadFileUpTo(path, kMaxFileBytes);
  if (!text.ok() && text.error().code == ErrorCode::kNotFound) return std::vector<ApiKey>();
  if (!text.ok()) return text.error();
  Result<std::vector<ApiKey>> keys = ParseApiKeys(*text);
  return keys.ok() ? std::move(keys) : keys.error().WithContext(path);
}

bool ShowsOneOf(const std::vector<ApiKey>& keys, std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; };
  if (authorization.size() < kScheme.size() ||
      !std::equal(kScheme.begin(), kScheme.end(), authorization.begin(),
                  [&](char b, char a) { return same(a, b); })) {
    return false;
  }
  authorization.remove_prefix(kScheme.size());
  const Sha256Digest shown = Sha256Of(std::as_bytes(std::span(authorization)));
  bool found = false;
  for (const ApiKey& key : keys) {  // all of them: the time tells nothing
    found |= CRYPTO_memcmp(key.sha256.data(), shown.data(), shown.size()) == 0;
  }
  return found;
}

ApiKeyFile::Access ApiKeyFile::Check(std::string_view authorization) {
  Refresh();
  if (broken_) return Access::kRefused;
  if (keys_.empty()) return Access::kOpen;
  return ShowsOneOf(keys_, authorization) ? Access::kGranted : Access::kRefused;
}

void ApiKeyFile::Refresh() {
  if (path_.empty()) return;
  struct stat found = {};
  Version now;
  if (::stat(path_.c_str(), &found) == 0) {
    now = {true, found.st_ino, found.st_ctim.tv_sec * kNsPerS + found.st_ctim.tv_nsec};
  }
  if (loaded_ && now == version_) return;
  loaded_ = true;
  version_ = now;
  Result<std::vector<ApiKey>> keys = LoadApiKeys(path_);
  broken_ = !keys.ok();
  if (broken_) {
    spdlog::error("API keys: {}; nobody is let in", keys.error().message);
  } else {
    keys_ = std::move(keys).value();
  }
}

}  // namespace shoal
