// `shoal keys`: the keys that clients of the HTTP server show. A running server sees a change at
// its next request.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/file_lock.h"
#include "coordinator/api/api_keys.h"
#include "tools/api_key_path.h"
#include "tools/commands.h"
#include "tools/state_folder.h"
#include "tools/terminal.h"

namespace shoal {

namespace {

struct KeysOptions {
  std::string state;
  std::string name;
  bool json = false;
};

auto Find(std::vector<ApiKey>& keys, const std::string& name) {
  return std::find_if(keys.begin(), keys.end(),
                      [&](const ApiKey& key) { return key.name == name; });
}

// Held while the keys are read, changed and written.
Result<FileLock> LockKeys(const std::string& folder) {
  return FileLock::Wait(ApiKeyPath(folder) + ".lock");
}

Status AddKey(const KeysOptions& options) {
  RETURN_IF_ERROR(CheckApiKeyName(options.name));
  ASSIGN_OR_RETURN(const std::string folder, StateFolder(options.state));
  ASSIGN_OR_RETURN(const FileLock alone, LockKeys(folder));
  ASSIGN_OR_RETURN(std::vector<ApiKey> keys, LoadApiKeys(ApiKeyPath(folder)));
  if (Find(keys, options.name) != keys.end()) {
    return FailedPrecondition(
        fmt::format("there is a key named '{}' already; remove it first", options.name));
  }
  if (keys.size() >= kMaxApiKeys) {
    return ResourceExhausted(fmt::format("there are {} keys already", keys.size()));
  }
  ASSIGN_OR_RETURN(const std::string secret, MakeApiKey());
  ApiKey key;
  key.name = options.name;
  key.sha256 = Sha256Of(std::as_bytes(std::span(secret)));
  key.created_unix_s = std::chrono::duration_cast<std::chrono::seconds>(
                           std::chrono::system_clock::now().time_since_epoch())
                           .count();
  keys.push_back(key);
  RETURN_IF_ERROR(WriteFileAtomically(ApiKeyPath(folder), ApiKeysJson(keys)));
  fmt::print("{}\n", secret);
  fmt::print(stderr, "This is the only time that it is shown.\n");
  return OkStatus();
}

Status ListKeys(const KeysOptions& options) {
  ASSIGN_OR_RETURN(const std::string folder, StateFolder(options.state));
  ASSIGN_OR_RETURN(const std::vector<ApiKey> keys, LoadApiKeys(ApiKeyPath(folder)));
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const ApiKey& key : keys) {
    json.push_back({{"name", key.name}, {"created_unix_s", key.created_unix_s}});
    if (options.json) continue;
    fmt::print("{:<24} {:%Y-%m-%d}\n", key.name,
               fmt::gmtime(static_cast<std::time_t>(key.created_unix_s)));
  }
  if (options.json) fmt::print("{}\n", json.dump());
  return OkStatus();
}

Status RemoveKey(const KeysOptions& options) {
  ASSIGN_OR_RETURN(const std::string folder, StateFolder(options.state));
  ASSIGN_OR_RETURN(const FileLock alone, LockKeys(folder));
  ASSIGN_OR_RETURN(std::vector<ApiKey> keys, LoadApiKeys(ApiKeyPath(folder)));
  const auto found = Find(keys, options.name);
  if (found == keys.end()) return NotFound("there is no key of that name; see shoal keys list");
  keys.erase(found);
  return WriteFileAtomically(ApiKeyPath(folder), ApiKeysJson(keys));
}

}  // namespace

void AddKeysCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<KeysOptions>();
  CLI::App* keys = app.add_subcommand("keys", "Keys for clients of the HTTP server");
  keys->require_subcommand(1);
  const auto add = [&](const char* name, const char* what, Status (*act)(const KeysOptions&)) {
    CLI::App* command = keys->add_subcommand(name, what);
    command->add_option("--state", options->state,
                        "State folder (default: see shoal serve --help)");
    command->callback([options, act, &exit_code] {
      const Status done = act(*options);
      if (!done.ok()) exit_code = Fail("keys", done.error());
    });
    return command;
  };
  add("add", "Make a key and show it, once", AddKey)
      ->add_option("NAME", options->name, "Whose it is")
      ->required();
  add("list", "Names of the keys", ListKeys)->add_flag("--json", options->json, "As JSON");
  add("remove", "Let a key open nothing any more, at once", RemoveKey)
      ->add_option("NAME", options->name, "As in the list")
      ->required();
}

}  // namespace shoal
