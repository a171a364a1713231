#include "coordinator/service/roster.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "coordinator/service/json_number.h"
#include "net/identity/base32.h"
#include "net/identity/peer_identity.h"

namespace shoal {

namespace {

using Json = nlohmann::json;

bool IsNameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

Error NoMember(std::string_view what) {
  return NotFound(fmt::format("no node of this mesh has the name, id or address '{}'",
                              what.substr(0, kMaxNameChars)));
}

Result<Member> MemberFromJson(const Json& entry) {
  Member member;
  member.id = entry.at("id").get<std::string>();
  member.name = entry.at("name").get<std::string>();
  member.address = entry.at("address").get<std::string>();
  member.joined_unix_s = WholeNumber(entry.at("joined_unix_s"));
  member.revoked = entry.at("revoked").get<bool>();
  if (!IsId(member.id) || !IsMemberName(member.name)) {
    return DataLoss(fmt::format("member '{}' with id '{}'", member.name, member.id));
  }
  if (!member.address.empty()) RETURN_IF_ERROR(ParseAddress(member.address));
  return member;
}

Result<IssuedCode> CodeFromJson(const Json& entry) {
  IssuedCode code;
  const auto secret = FromBase32(entry.at("secret").get<std::string>());
  if (!secret || secret->size() != code.secret.size()) return DataLoss("a pairing code's secret");
  std::copy(secret->begin(), secret->end(), code.secret.begin());
  code.issued_unix_s = WholeNumber(entry.at("issued_unix_s"));
  code.used = entry.at("used").get<bool>();
  code.member_id = entry.value("member", "");  // older builds did not keep the two
  code.key_hash = entry.value("key_sha256", "");
  return code;
}

Result<Roster> ReadRoster(const Json& json) {
  Roster roster;
  for (const Json& entry : json.at("members")) {
    ASSIGN_OR_RETURN(Member member, MemberFromJson(entry));
    RETURN_IF_ERROR(roster.Add(std::move(member)));
  }
  std::vector<IssuedCode> codes;
  for (const Json& entry : json.at("codes")) {
    ASSIGN_OR_RETURN(IssuedCode code, CodeFromJson(entry));
    if (codes.size() < kMaxCodes) codes.push_back(code);
  }
  roster.desk = PairingDesk(std::move(codes));
  return roster;
}

}  // namespace

bool IsMemberName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameChars && name[0] != '.' && name[0] != '-' &&
         std::all_of(name.begin(), name.end(), IsNameChar);
}

const Member* Roster::Find(std::string_view what) const {
  const auto found = std::find_if(members.begin(), members.end(), [&](const Member& member) {
    return !member.revoked && !what.empty() &&
           (member.name == what || member.id == what || member.address == what);
  });
  return found == members.end() ? nullptr : &*found;
}

Member* Roster::Find(std::string_view what) {
  return const_cast<Member*>(std::as_const(*this).Find(what));
}

std::string Roster::FreeName(std::string_view wanted) const {
  constexpr size_t kRoomForNumber = 8;
  std::string base;
  for (const char c : wanted.substr(0, kMaxNameChars - kRoomForNumber)) {
    base += IsNameChar(c) ? c : '-';
  }
  base.erase(0, base.find_first_not_of(".-"));
  if (base.empty()) base = "node";
  std::string name = base;
  for (int number = 2; Find(name) != nullptr; ++number) name = fmt::format("{}-{}", base, number);
  return name;
}

Status Roster::Add(Member member) {
  if (members.size() >= kMaxMembers) {
    return ResourceExhausted(
        fmt::format("a mesh has at most {} members, revoked ones included", kMaxMembers));
  }
  members.push_back(std::move(member));
  return OkStatus();
}

Status Roster::Rename(std::string_view what, std::string_view name) {
  Member* member = Find(what);
  if (member == nullptr) return NoMember(what);
  if (!IsMemberName(name)) {
    return InvalidArgument(
        fmt::format("'{}' is no name: expected 1 to {} letters, digits, '.', '_' and '-', and no "
                    "'.' or '-' first",
                    name.substr(0, kMaxNameChars + 1), kMaxNameChars));
  }
  if (const Member* other = Find(name); other != nullptr && other != member) {
    return FailedPrecondition(fmt::format("another node is called '{}' already", name));
  }
  member->name = name;
  return OkStatus();
}

Result<Member> Roster::Revoke(std::string_view what) {
  Member* member = Find(what);
  if (member == nullptr) return NoMember(what);
  member->revoked = true;
  return *member;
}

Status Roster::Move(const std::string& id, const Address& address) {
  const std::string text = address.ToString();
  Member* moved = nullptr;
  for (Member& member : members) {
    if (member.id == id && !member.revoked) {
      moved = &member;
    } else if (member.address == text) {
      member.address.clear();
    }
  }
  if (moved == nullptr) return NoMember(id);
  moved->address = text;
  return OkStatus();
}

std::set<std::string> Roster::RevokedIds() const {
  std::set<std::string> ids;
  for (const Member& member : members) {
    if (member.revoked) ids.insert(member.id);
  }
  return ids;
}

std::string RosterToJson(const Roster& roster) {
  Json json = {{"members", Json::array()}, {"codes", Json::array()}};
  for (const Member& member : roster.members) {
    json["members"].push_back({{"id", member.id},
                               {"name", member.name},
                               {"address", member.address},
                               {"joined_unix_s", member.joined_unix_s},
                               {"revoked", member.revoked}});
  }
  for (const IssuedCode& code : roster.desk.codes()) {
    json["codes"].push_back({{"secret", ToBase32(code.secret)},
                             {"issued_unix_s", code.issued_unix_s},
                             {"used", code.used},
                             {"member", code.member_id},
                             {"key_sha256", code.key_hash}});
  }
  return json.dump(2) + "\n";
}

Result<Roster> RosterFromJson(const std::string& text) {
  try {
    return ReadRoster(Json::parse(text));
  } catch (const Json::exception&) {  // its message could quote a secret
    return DataLoss("the list of members is damaged");
  }
}

}  // namespace shoal
