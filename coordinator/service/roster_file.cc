#include "coordinator/service/roster_file.h"

#include <sys/stat.h>

#include <filesystem>

#include "base/atomic_file.h"
#include "base/clock.h"
#include "base/file_lock.h"

namespace shoal {

namespace {

constexpr int64_t kMaxRosterBytes = 4 << 20;

}  // namespace

Result<Roster> RosterFile::Read() const {
  const Result<std::string> text = ReadFileUpTo(path_, kMaxRosterBytes);
  if (!text.ok() && text.error().code == ErrorCode::kNotFound) {
    return DataLoss(path_ +
                    " is gone, and with it who is a member and who was revoked: put it back, "
                    "or remove its folder and let all nodes join anew");
  }
  if (!text.ok()) return text.error();
  Result<Roster> roster = RosterFromJson(*text);
  if (!roster.ok()) return roster.error().WithContext(path_);
  return roster;
}

Status RosterFile::MakeIfMissing() const {
  std::error_code failed;
  if (std::filesystem::exists(path_, failed)) return OkStatus();
  return WriteFileAtomically(path_, RosterToJson(Roster{}));
}

Status RosterFile::Change(const std::function<Status(Roster&)>& change) const {
  ASSIGN_OR_RETURN(const FileLock lock, FileLock::Wait(path_ + ".lock"));
  ASSIGN_OR_RETURN(Roster roster, Read());
  RETURN_IF_ERROR(change(roster));
  return WriteFileAtomically(path_, RosterToJson(roster));
}

// Every change makes a new file.
int64_t RosterFile::Version() const {
  struct stat found = {};
  if (::stat(path_.c_str(), &found) != 0) return 0;
  return static_cast<int64_t>(found.st_ino) ^
         (int64_t{found.st_mtim.tv_sec} * kNsPerS + found.st_mtim.tv_nsec);
}

}  // namespace shoal
