// The roster of a mesh as a file that several processes share: a server that runs and commands that
// change it. Readers see a whole roster, changes exclude each other.
//
// Thread rule: safe from any thread.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "coordinator/service/roster.h"

namespace shoal {

class RosterFile {
 public:
  explicit RosterFile(std::string path) : path_(std::move(path)) {}

  // An empty roster, for a mesh that is being made.
  Status MakeIfMissing() const;
  // Errors: no file, or one that is damaged.
  Result<Roster> Read() const;
  // Reads, lets `change` do its work, and writes. After an error of `change` nothing is written.
  // Blocks while another process changes it.
  Status Change(const std::function<Status(Roster&)>& change) const;

  // Another value after every change: cheap to ask for, again and again.
  int64_t Version() const;

 private:
  const std::string path_;
};

}  // namespace shoal
