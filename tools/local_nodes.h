// Node processes on this machine, started and kept running by a coordinator: each is this same
// executable as `shoal node` on a Unix socket in a folder of mode 0700. One that dies is started
// again; all end with this process, however it ends.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "net/address.h"
#include "tools/runtime_folder.h"

namespace shoal {

class LocalNodes {
 public:
  // Starts `count` nodes and waits until each listens. Errors: no folder for the sockets, a node
  // that does not start within kStartTimeoutMs.
  static Result<std::unique_ptr<LocalNodes>> Start(int count, int threads,
                                                   const std::string& log_level, bool inexact_blas);
  // Ends them and removes the folder.
  ~LocalNodes();

  static constexpr int kStartTimeoutMs = 10'000;

  // Name and address of each.
  const std::vector<std::string>& names() const { return names_; }
  const std::vector<Address>& addresses() const { return addresses_; }
  // As they run now; a node that is being started again counts as -1.
  std::vector<pid_t> pids() const;

 private:
  LocalNodes(RuntimeFolder folder, int threads, std::string log_level, bool inexact_blas)
      : folder_(std::move(folder)),
        threads_(threads),
        log_level_(std::move(log_level)),
        inexact_blas_(inexact_blas) {}
  Status Spawn(size_t index);
  void KeeperThreadMain(size_t index);

  const RuntimeFolder folder_;
  const int threads_;
  const std::string log_level_;
  const bool inexact_blas_;
  std::vector<std::string> names_;
  std::vector<Address> addresses_;

  struct Child {
    pid_t pid = -1;
    FileDescriptor life_line;  // our end of the pipe that is its stdin: closed when we die
  };
  mutable std::mutex mutex_;  // guards the next two
  std::vector<Child> children_;
  bool stop_ = false;
  std::condition_variable ended_;  // a child has
  std::vector<std::thread> keepers_;
};

}  // namespace shoal
