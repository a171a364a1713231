// SIGINT and SIGTERM as ordinary calls on a thread of their own.
#pragma once

#include <functional>
#include <thread>

#include "base/file_descriptor.h"

namespace shoal {

// Blocks the two signals in this thread and in every thread started after. Called once, first thing
// in main of a command that uses SignalListener.
void BlockTerminationSignals();

class SignalListener {
 public:
  // `on_signal(number)` runs on the listener's thread for each SIGINT and SIGTERM.
  explicit SignalListener(std::function<void(int)> on_signal);
  ~SignalListener();

 private:
  std::function<void(int)> on_signal_;
  const FileDescriptor stop_;  // an eventfd
  std::thread thread_;
};

// Blocks until SIGINT or SIGTERM comes, or `fd` (-1: none) is closed by the other side.
void WaitForTermination(int fd);

}  // namespace shoal
