#include "net/identity/identity_files.h"

#include <fmt/format.h>

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
  ASSIGN_OR_RETURN(const std::string made_on, ReadFileUpTo(MachinePath(folder), kMaxMachineBytes));
  if (made_on == machine || made_on.empty() || machine.empty()) return OkStatus();
  return FailedPrecondition(fmt::format(
      "{} was made on another machine ({}, this is {}): a copy of it would be a second device with "
      "one identity; remove the folder and join with a new pairing code",
      folder, made_on.substr(0, 8), machine.substr(0, 8)));
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
  ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificate(own.certificate_pem));
  ASSIGN_OR_RETURN(own.self, facts.Identity());
  ASSIGN_OR_RETURN(const std::string public_key, PublicKeyOf(own.key_pem));
  RETURN_IF_ERROR(CheckIssuedBy(own.certificate_pem, own.authority_pem));
  if (public_key != facts.public_key) {
    return DataLoss(folder + ": the key is not the certificate's");
  }
  own.not_after_unix_s = facts.not_after_unix_s;
  if (now_unix_s > facts.not_after_unix_s) {
    return FailedPrecondition(
        fmt::format("{}: the certificate ran out {} days ago; join with a new pairing code", folder,
                    (now_unix_s - facts.not_after_unix_s) / kSecondsPerDay));
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
