#include "tools/local_nodes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/log.h"

namespace shoal {

namespace {

constexpr int kEndMs = 3000;  // from a signal to the end of a node, after which it is killed
constexpr int kRestartPauseMs = 200;
constexpr int kRestartPauseMostMs = 5000;
constexpr int64_t kStableMs = 10'000;  // a node that ran this long may be restarted at once again

Error OsError(const std::string& what) { return Unavailable(what + ": " + std::strerror(errno)); }

// Blocks until something can be read from `fd` or it is closed, or the time is over (false).
bool WaitReadable(int fd, int timeout_ms) {
  pollfd entry{fd, POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&entry, 1, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  return ready > 0 && (entry.revents & POLLIN) != 0;
}

struct Pipe {
  FileDescriptor read_end;
  FileDescriptor write_end;
};

Result<Pipe> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return OsError("cannot make a pipe");
  return Pipe{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

// Starts `arguments` with stdin and stdout on pipes, in a process group of its own, so that Ctrl-C
// in the terminal reaches the coordinator alone.
Result<pid_t> SpawnProcess(std::vector<std::string> arguments, int stdin_fd, int stdout_fd) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, stdin_fd, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, stdout_fd, STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  pid_t pid = -1;
  const int failed =
      ::posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failed != 0) {
    errno = failed;
    return OsError("cannot start a node process");
  }
  return pid;
}

}  // namespace

Result<std::unique_ptr<LocalNodes>> LocalNodes::Start(int count, int threads,
                                                      const std::string& log_level,
                                                      bool inexact_blas) {
  ASSIGN_OR_RETURN(RuntimeFolder folder, RuntimeFolder::Make());
  std::unique_ptr<LocalNodes> nodes(
      new LocalNodes(std::move(folder), threads, log_level, inexact_blas));
  nodes->children_.resize(static_cast<size_t>(count));
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    nodes->names_.push_back(fmt::format("local-{}", i));
    nodes->addresses_.push_back(
        {fmt::format("{}/{}.sock", nodes->folder_.path(), nodes->names_.back()), "", 0});
    RETURN_IF_ERROR(nodes->Spawn(i));
    nodes->keepers_.emplace_back([raw = nodes.get(), i] { raw->KeeperThreadMain(i); });
  }
  return nodes;
}

Status LocalNodes::Spawn(size_t index) {
  ASSIGN_OR_RETURN(Pipe life, MakePipe());
  ASSIGN_OR_RETURN(Pipe said, MakePipe());
  ::unlink(addresses_[index].unix_path.c_str());
  std::vector<std::string> command = {"shoal",
                                      "node",
                                      "--listen",
                                      addresses_[index].ToString(),
                                      "--name",
                                      names_[index],
                                      "--threads",
                                      std::to_string(threads_),
                                      "--exit-with-stdin",
                                      "--log-level",
                                      log_level_};
  if (inexact_blas_) command.push_back("--inexact-blas");
  const Result<pid_t> pid = SpawnProcess(command, life.read_end.get(), said.write_end.get());
  life.read_end.Close();
  said.write_end.Close();
  // The node says one line when it listens; end of file means that it has ended.
  char byte = 0;
  const bool up = pid.ok() && WaitReadable(said.read_end.get(), kStartTimeoutMs) &&
                  ::read(said.read_end.get(), &byte, 1) == 1;
  if (!up) {
    if (!pid.ok()) return pid.error();
    ::kill(*pid, SIGKILL);
    ::waitpid(*pid, nullptr, 0);
    return Unavailable(fmt::format("node {} did not start", names_[index]));
  }
  const std::lock_guard lock(mutex_);
  children_[index] = {*pid, std::move(life.write_end)};
  if (stop_) ::kill(*pid, SIGTERM);
  return OkStatus();
}

std::vector<pid_t> LocalNodes::pids() const {
  const std::lock_guard lock(mutex_);
  std::vector<pid_t> pids;
  for (const Child& child : children_) pids.push_back(child.pid);
  return pids;
}

void LocalNodes::KeeperThreadMain(size_t index) {
  using Clock = std::chrono::steady_clock;
  int pause_ms = kRestartPauseMs;
  while (true) {
    pid_t pid = -1;
    {
      const std::lock_guard lock(mutex_);
      pid = children_[index].pid;
    }
    const Clock::time_point started = Clock::now();
    int status = 0;
    if (pid > 0) {
      while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
      }
    }
    {
      const std::lock_guard lock(mutex_);
      children_[index] = {};
      ended_.notify_all();
      if (stop_) return;
    }
    const std::string how = WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                                                : fmt::format("exit code {}", WEXITSTATUS(status));
    spdlog::warn("node {} ended ({}); starting it again", names_[index], how);
    const auto ran = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - started);
    pause_ms =
        ran.count() > kStableMs ? kRestartPauseMs : std::min(2 * pause_ms, kRestartPauseMostMs);
    std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
    {
      const std::lock_guard lock(mutex_);
      if (stop_) return;
    }
    if (const Status spawned = Spawn(index); !spawned.ok()) {
      spdlog::warn("{}", spawned.error().message);
    }
  }
}

LocalNodes::~LocalNodes() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    for (const Child& child : children_) {
      if (child.pid > 0) ::kill(child.pid, SIGTERM);
    }
  }
  {
    // A node that stands still hears nothing.
    std::unique_lock lock(mutex_);
    ended_.wait_for(lock, std::chrono::milliseconds(kEndMs), [this] {
      return std::all_of(children_.begin(), children_.end(),
                         [](const Child& child) { return child.pid <= 0; });
    });
    for (const Child& child : children_) {
      if (child.pid > 0) ::kill(child.pid, SIGKILL);
    }
  }
  for (std::thread& keeper : keepers_) keeper.join();
}

}  // namespace shoal
