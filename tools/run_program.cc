#include "tools/run_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "base/atomic_file.h"
#include "base/file_descriptor.h"

namespace shoal {

namespace {

// It prints into `said` and has signals as they were.
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

}  // namespace

Result<std::string> RunProgram(std::vector<std::string> words, const std::function<void()>& on_wait,
                               const std::atomic<bool>& stop) {
  constexpr int kPollUs = 50'000;
  constexpr int64_t kMaxSaidBytes = 16 << 20;
  // In memory: the disk may be full, and that is what it says.
  const FileDescriptor said(::memfd_create("said", MFD_CLOEXEC));
  ASSIGN_OR_RETURN(const pid_t pid, Start(std::move(words), said));
  int status = 0;
  pid_t ended = 0;
  while ((ended = ::waitpid(pid, &status, stop ? 0 : WNOHANG)) == 0) {
    on_wait();
    ::usleep(kPollUs);
    if (stop) ::kill(pid, SIGTERM);
  }
  if (stop) return Cancelled("interrupted");
  Result<std::string> text =
      ReadFileUpTo(fmt::format("/proc/self/fd/{}", said.get()), kMaxSaidBytes);
  if (ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0) return text;
  const std::string why = text.ok() ? LastLine(*text) : "";
  return Unavailable(why.empty() ? "it failed and said nothing" : why);
}

}  // namespace shoal
