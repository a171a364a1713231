// Who belongs to a mesh: the nodes that joined and the pairing codes that were given out. A plain
// value; coordinator/service/roster_file.h keeps it on the disk.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/address.h"
#include "net/identity/pairing_desk.h"

namespace shoal {

constexpr size_t kMaxMembers = 1024;  // revoked ones count
constexpr size_t kMaxNameChars = 64;

struct Member {
  std::string id;
  std::string name;     // of those that are not revoked, each has another one
  std::string address;  // HOST:PORT where it was reached last; empty: not yet known
  int64_t joined_unix_s = 0;
  bool revoked = false;
};

// Letters, digits, '.', '_' and '-', at most kMaxNameChars, not empty, and no '.' or '-' first.
bool IsMemberName(std::string_view name);

struct Roster {
  std::vector<Member> members;
  PairingDesk desk;

  // One that is not revoked, by name, id or address; null if there is none.
  Member* Find(std::string_view what);
  const Member* Find(std::string_view what) const;
  // `wanted`, made a member's name, with a number behind it if it is taken.
  std::string FreeName(std::string_view wanted) const;
  // Error: kResourceExhausted.
  Status Add(Member member);
  // Errors: there is none; the new name is none or is taken.
  Status Rename(std::string_view what, std::string_view name);
  Result<Member> Revoke(std::string_view what);
  // Where a member listens now; another one that was there before has moved. Error: not a member.
  Status Move(const std::string& id, const Address& address);
  std::set<std::string> RevokedIds() const;
};

std::string RosterToJson(const Roster& roster);
// Errors: not what RosterToJson writes.
Result<Roster> RosterFromJson(const std::string& text);

}  // namespace shoal
