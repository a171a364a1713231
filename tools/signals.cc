#include "tools/signals.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "base/check.h"

namespace shoal {

namespace {

sigset_t TerminationSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

int OpenSignalFd() {
  const sigset_t set = TerminationSignals();
  const int fd = ::signalfd(-1, &set, SFD_CLOEXEC);
  CHECK(fd >= 0, "the kernel gives no signalfd");
  return fd;
}

int ReadSignal(int fd) {
  signalfd_siginfo info;
  return ::read(fd, &info, sizeof(info)) == sizeof(info) ? static_cast<int>(info.ssi_signo) : 0;
}

}  // namespace

void BlockTerminationSignals() {
  const sigset_t set = TerminationSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

SignalListener::SignalListener(std::function<void(int)> on_signal)
    : on_signal_(std::move(on_signal)), stop_fd_(::eventfd(0, EFD_CLOEXEC)) {
  thread_ = std::thread([this] {
    const int fd = OpenSignalFd();
    pollfd entries[2] = {{fd, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
    while (::poll(entries, 2, -1) >= 0 && (entries[1].revents & POLLIN) == 0) {
      if ((entries[0].revents & POLLIN) == 0) continue;
      const int number = ReadSignal(fd);
      if (number != 0) on_signal_(number);
    }
    ::close(fd);
  });
}

SignalListener::~SignalListener() {
  const uint64_t one = 1;
  CHECK(::write(stop_fd_, &one, sizeof(one)) == sizeof(one), "an eventfd takes one");
  thread_.join();
  ::close(stop_fd_);
}

void WaitForTermination(int fd) {
  const int signal_fd = OpenSignalFd();
  pollfd entries[2] = {{signal_fd, POLLIN, 0}, {fd, POLLIN, 0}};
  while (true) {
    if (::poll(entries, 2, -1) < 0) continue;
    // Taken, so that a listener that follows hears the next one only.
    if ((entries[0].revents & POLLIN) != 0 && ReadSignal(signal_fd) != 0) break;
    char ignored[256];
    const bool readable = (entries[1].revents & (POLLIN | POLLHUP)) != 0;
    if (readable && ::read(fd, ignored, sizeof(ignored)) <= 0) break;
  }
  ::close(signal_fd);
}

}  // namespace shoal
