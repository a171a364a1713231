#include "net/identity/identity_files.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <filesystem>
#include <span>

#include "base/atomic_file.h"
#include "base/sha256.h"
#include "net/identity/x509.h"

namespace shoal {

namespace {

constexpr int64_t kMaxMachineBytes = 256;

std::string MachinePath(const std::string& folder) { return folder + "/machine"; }

Status CheckMachine(const std::string& folder, const std::string& machine) {
  const Result<std::string> made_on = ReadFileUpTo(MachinePath(folder), kMaxMachineBytes);
  if (!made_on.ok() && made_on.error().code == ErrorCode::kNotFound) return OkStatus();
  if (!made_on.ok()) return made_on.error();
  if (*made_on == machine || made_on->empty() || machine.empty()) return OkStatus();
  return FailedPrecondition(
      fmt::format("{} was made on another machine: a copy of it would be a second device with one "
                  "identity",
                  folder));
}

template <typename T>
Result<T> OfFile(const std::string& path, Result<T> result) {
  if (result.ok()) return result;
  return result.error().WithContext(path);
}

}  // namespace

std::string KeyPath(const std::string& folder) { return folder + "/key.pem"; }
std::string ChainPath(const std::string& folder) { return folder + "/certificate.pem"; }
std::string AuthorityPath(const std::string& folder) { return folder + "/authority.pem"; }

std::string MachineMark() {
  const Result<std::string> id = ReadFileUpTo("/etc/machine-id", kMaxMachineBytes);
  if (!id.ok() || id->empty()) return {};
  const std::string marked = "shoal machine " + *id;
  return ToHex(Sha256Of(std::as_bytes(std::span(marked)))).substr(0, 32);
}

Result<OwnIdentity> LoadIdentity(const std::string& folder, const std::string& machine,
                                 int64_t now_unix_s) {
  OwnIdentity own;
  own.folder = folder;
  ASSIGN_OR_RETURN(own.certificate_pem, ReadFileUpTo(ChainPath(folder), kMaxPemBytes));
  RETURN_IF_ERROR(CheckMachine(folder, machine));
  ASSIGN_OR_RETURN(own.key_pem, ReadFileUpTo(KeyPath(folder), kMaxPemBytes));
  ASSIGN_OR_RETURN(own.authority_pem, ReadFileUpTo(AuthorityPath(folder), kMaxPemBytes));
  if (own.certificate_pem.size() > own.authority_pem.size() &&
      own.certificate_pem.ends_with(own.authority_pem)) {
    own.certificate_pem.resize(own.certificate_pem.size() - own.authority_pem.size());
  }
  ASSIGN_OR_RETURN(const CertificateFacts facts,
                   OfFile(ChainPath(folder), ReadCertificate(own.certificate_pem)));
  ASSIGN_OR_RETURN(own.self, OfFile(ChainPath(folder), facts.Identity()));
  ASSIGN_OR_RETURN(const std::string public_key, OfFile(KeyPath(folder), PublicKeyOf(own.key_pem)));
  RETURN_IF_ERROR(CheckIssuedBy(own.certificate_pem, own.authority_pem));
  if (public_key != facts.public_key) {
    return DataLoss(folder + ": the key is not the certificate's");
  }
  own.not_after_unix_s = facts.not_after_unix_s;
  if (now_unix_s > facts.not_after_unix_s) {
    return FailedPrecondition(
        fmt::format("{}: the certificate ran out {} days ago, if this device's clock is right: it "
                    "says {:%Y-%m-%d}",
                    folder, (now_unix_s - facts.not_after_unix_s) / kSecondsPerDay,
                    fmt::gmtime(static_cast<std::time_t>(now_unix_s))));
  }
  return own;
}

Result<std::string> LoadOrMakeKey(const std::string& folder) {
  std::error_code failed;
  if (std::filesystem::create_directories(folder, failed); failed) {
    return FailedPrecondition(fmt::format("{}: {}", folder, failed.message()));
  }
  std::filesystem::permissions(folder, std::filesystem::perms::owner_all, failed);
  Result<std::string> key = ReadFileUpTo(KeyPath(folder), kMaxPemBytes);
  if (key.ok() || key.error().code != ErrorCode::kNotFound) return key;
  return ReplaceKey(folder);
}

Result<std::string> ReplaceKey(const std::string& folder) {
  ASSIGN_OR_RETURN(std::string made, MakeKey());
  RETURN_IF_ERROR(WriteFileAtomically(KeyPath(folder), made));
  return made;
}

Status StoreIdentity(const std::string& folder, const std::string& machine,
                     const std::string& certificate_pem, const std::string& authority_pem) {
  RETURN_IF_ERROR(WriteFileAtomically(AuthorityPath(folder), authority_pem));
  RETURN_IF_ERROR(WriteFileAtomically(MachinePath(folder), machine));
  return WriteFileAtomically(ChainPath(folder), certificate_pem + authority_pem);
}

}  // namespace shoal
