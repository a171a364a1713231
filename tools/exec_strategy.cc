#include "tools/exec_strategy.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sstream>
#include <vector>

#include "base/file_descriptor.h"
#include "tools/plan_json.h"

namespace shoal {

namespace {

using Clock = std::chrono::steady_clock;

Error OsError(const std::string& what) { return Unavailable(what + ": " + std::strerror(errno)); }

int MillisecondsUntil(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  return static_cast<int>(std::max<int64_t>(0, left.count()));
}

// A child in a process group of its own. Killed with its group and waited for when it goes out of
// scope, so that nothing it started is left.
class Child {
 public:
  Child() = default;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ > 0) End();
  }

  Status Start(const std::string& command) {
    int input[2];
    int output[2];
    // A socket, because writing to one that was closed can be told not to raise a signal.
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, input) != 0) {
      return OsError("cannot make a socket");
    }
    input_ = FileDescriptor(input[0]);
    FileDescriptor child_input(input[1]);
    if (::pipe2(output, O_CLOEXEC) != 0) return OsError("cannot make a pipe");
    output_ = FileDescriptor(output[0]);
    FileDescriptor child_output(output[1]);
    ::fcntl(input_.get(), F_SETFL, O_NONBLOCK);
    ::fcntl(output_.get(), F_SETFL, O_NONBLOCK);
    return Spawn(command, child_input.get(), child_output.get());
  }

  int input() const { return input_.get(); }
  int output() const { return output_.get(); }
  void CloseInput() { input_.Close(); }

  // Kills the group and returns the status of the child as waitpid gives it.
  int End() {
    ::kill(-pid_, SIGKILL);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

  // Blocks until the child has ended by itself, or the time is over (false). It is not reaped.
  bool WaitEnded(Clock::time_point deadline) const {
    const FileDescriptor process(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    pollfd wait{process.get(), POLLIN, 0};
    int ready = 0;
    do {
      ready = ::poll(&wait, 1, MillisecondsUntil(deadline));
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
  }

 private:
  Status Spawn(const std::string& command, int stdin_fd, int stdout_fd) {
    std::vector<std::string> words;
    std::istringstream stream(command);
    for (std::string word; stream >> word;) words.push_back(word);
    if (words.empty()) return InvalidArgument("exec: names no program");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, stdin_fd, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, stdout_fd, STDOUT_FILENO);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&attributes, 0);
    const int failed = ::posix_spawnp(&pid_, argv[0], &actions, &attributes, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (failed == 0) return OkStatus();
    pid_ = -1;
    errno = failed;
    return OsError("cannot start " + words[0]);
  }

  pid_t pid_ = -1;
  FileDescriptor input_;
  FileDescriptor output_;
};

// Sends what the socket takes; closes it when all is sent, or nobody reads any more.
void Feed(Child& child, std::string_view& left) {
  const ssize_t sent = ::send(child.input(), left.data(), left.size(), MSG_NOSIGNAL);
  if (sent > 0) left.remove_prefix(static_cast<size_t>(sent));
  const bool again = sent < 0 && (errno == EAGAIN || errno == EINTR);
  if (left.empty() || (sent < 0 && !again)) child.CloseInput();
}

// Writes `text` to the child and reads what it prints until it closes its output.
Result<std::string> Converse(Child& child, std::string_view text, Clock::time_point deadline) {
  std::string said;
  while (true) {
    pollfd waits[2] = {{child.output(), POLLIN, 0}, {child.input(), POLLOUT, 0}};
    const int ready = ::poll(waits, 2, MillisecondsUntil(deadline));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return DeadlineExceeded("no answer");
    if (child.input() >= 0 && waits[1].revents != 0) Feed(child, text);
    if (waits[0].revents == 0) continue;
    char buffer[1 << 14];
    const ssize_t count = ::read(child.output(), buffer, sizeof(buffer));
    if (count == 0) return said;
    if (count < 0) {
      if (errno == EAGAIN || errno == EINTR) continue;
      return OsError("cannot read its output");
    }
    said.append(buffer, static_cast<size_t>(count));
    if (said.size() > kMaxStrategyOutputBytes) {
      return ResourceExhausted(
          fmt::format("it printed more than {} bytes", kMaxStrategyOutputBytes));
    }
  }
}

class ExecStrategy final : public Strategy {
 public:
  ExecStrategy(std::string command, std::chrono::milliseconds timeout)
      : command_(std::move(command)),
        name_(std::string(kExecPrefix) + command_),
        timeout_(timeout) {}
  std::string_view name() const override { return name_; }
  std::string_view description() const override { return "a program of your own"; }

  Result<Plan> Place(const PlanProblem& problem) const override {
    RETURN_IF_ERROR(CheckProblem(problem));
    const Result<std::string> said = Ask(ProblemToJson(problem).dump());
    if (!said.ok()) return said.error().WithContext(name_);
    Result<std::vector<Placement>> placements = PlacementsFromJson(*said, problem);
    if (!placements.ok()) return placements.error().WithContext(name_ + ": its answer");
    Result<Plan> plan = EvaluatePlan(problem, *placements, name_);
    if (!plan.ok()) return plan.error().WithContext(name_);
    return plan;
  }

 private:
  Result<std::string> Ask(const std::string& question) const {
    const Clock::time_point deadline = Clock::now() + timeout_;
    Child child;
    RETURN_IF_ERROR(child.Start(command_));
    Result<std::string> said = Converse(child, question, deadline);
    const bool hangs =
        said.ok() ? !child.WaitEnded(deadline) : said.error().code == ErrorCode::kDeadlineExceeded;
    const int status = child.End();
    if (hangs) {
      return DeadlineExceeded(
          fmt::format("it did not end within {} ms and was killed", timeout_.count()));
    }
    RETURN_IF_ERROR(said.ok() ? OkStatus() : Status(said.error()));
    if (WIFSIGNALED(status)) {
      return Unavailable(fmt::format("it was ended by signal {}", WTERMSIG(status)));
    }
    if (WEXITSTATUS(status) != 0) {
      return Unavailable(fmt::format("it ended with exit code {}", WEXITSTATUS(status)));
    }
    return said;
  }

  std::string command_;
  std::string name_;
  std::chrono::milliseconds timeout_;
};

}  // namespace

std::unique_ptr<Strategy> MakeExecStrategy(std::string command, std::chrono::milliseconds timeout) {
  return std::make_unique<ExecStrategy>(std::move(command), timeout);
}

}  // namespace shoal
