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

FileDescriptor OpenSignalFd() {
  const sigset_t set = TerminationSignals();
  FileDescriptor signals(::signalfd(-1, &set, SFD_CLOEXEC));
  CHECK(signals.is_open(), "the kernel gives no signalfd");
  return signals;
}

int ReadSignal(const FileDescriptor& signals) {
  signalfd_siginfo info;
  return ::read(signals.get(), &info, sizeof(info)) == sizeof(info)
             ? static_cast<int>(info.ssi_signo)
             : 0;
}

}  // namespace

void BlockTerminationSignals() {
  const sigset_t set = TerminationSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

SignalListener::SignalListener(std::function<void(int)> on_signal)
    : on_signal_(std::move(on_signal)), stop_(::eventfd(0, EFD_CLOEXEC)) {
  thread_ = std::thread([this] {
    const FileDescriptor signals = OpenSignalFd();
    pollfd entries[2] = {{signals.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    while (::poll(entries, 2, -1) >= 0 && (entries[1].revents & POLLIN) == 0) {
      if ((entries[0].revents & POLLIN) == 0) continue;
      const int number = ReadSignal(signals);
      if (number != 0) on_signal_(number);
    }
  });
}

SignalListener::~SignalListener() {
  const uint64_t one = 1;
  CHECK(::write(stop_.get(), &one, sizeof(one)) == sizeof(one), "an eventfd takes one");
  thread_.join();
}

void WaitForTermination(int fd) {
  const FileDescriptor signals = OpenSignalFd();
  pollfd entries[2] = {{signals.get(), POLLIN, 0}, {fd, POLLIN, 0}};
  while (true) {
    if (::poll(entries, 2, -1) < 0) continue;
    // Taken, so that a listener that follows hears the next one only.
    if ((entries[0].revents & POLLIN) != 0 && ReadSignal(signals) != 0) break;
    char ignored[256];
    const bool readable = (entries[1].revents & (POLLIN | POLLHUP)) != 0;
    if (readable && ::read(fd, ignored, sizeof(ignored)) <= 0) break;
  }
}

}  // namespace shoal
