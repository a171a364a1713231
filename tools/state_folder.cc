#include "tools/state_folder.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "tools/folder_from.h"

namespace shoal {

namespace {

std::string Choose(const std::string& chosen) {
  if (!chosen.empty()) return std::filesystem::absolute(chosen).string();
  for (const auto& [variable, below] : {std::pair{"SHOAL_STATE", ""},
                                        {"XDG_STATE_HOME", "/shoal"},
                                        {"HOME", "/.local/state/shoal"}}) {
    if (std::string folder = FolderFrom(variable, below); !folder.empty()) return folder;
  }
  return {};
}

}  // namespace

Result<std::string> StateFolder(const std::string& chosen) {
  const std::string folder = Choose(chosen);
  if (folder.empty()) {
    return FailedPrecondition("no folder for the state: give --state, or set SHOAL_STATE or HOME");
  }
  std::error_code failed;
  if (!std::filesystem::exists(folder, failed)) {
    std::filesystem::create_directories(folder, failed);
    if (!failed) std::filesystem::permissions(folder, std::filesystem::perms::owner_all, failed);
  }
  struct stat found = {};
  if (failed || ::stat(folder.c_str(), &found) != 0 || !S_ISDIR(found.st_mode)) {
    return FailedPrecondition(fmt::format("{}: not a folder that can be used{}", folder,
                                          failed ? ": " + failed.message() : std::string()));
  }
  if (found.st_uid != ::geteuid()) {
    return FailedPrecondition(
        fmt::format("{} belongs to user {}, this is user {}", folder, found.st_uid, ::geteuid()));
  }
  if ((found.st_mode & 077) != 0) {
    return FailedPrecondition(fmt::format("{} has mode {:o}, expected 700: others could read keys",
                                          folder, found.st_mode & 0777));
  }
  return folder;
}

}  // namespace shoal
