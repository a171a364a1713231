#include "tools/https_files.h"

#include <set>

#include "base/atomic_file.h"
#include "base/wall_clock.h"
#include "coordinator/service/mesh_server.h"
#include "net/identity/x509.h"
#include "tools/host_name.h"

namespace shoal {

namespace {

constexpr int64_t kRenewBeforeS = 30 * 24 * 3600;

bool IsAnyAddress(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

// Addresses change, and clients trust the certificate that they have seen: one for all addresses is
// not made anew for that.
bool IsGood(const TlsFiles& files, const std::string& listen_host, int64_t now_unix_s) {
  const Result<std::string> pem = ReadFileUpTo(files.certificate, kMaxPemBytes);
  const Result<std::string> key = ReadFileUpTo(files.key, kMaxPemBytes);
  if (!pem.ok() || !key.ok()) return false;
  const Result<CertificateFacts> facts = ReadCertificate(*pem);
  const Result<std::string> public_key = PublicKeyOf(*key);
  return facts.ok() && public_key.ok() && *public_key == facts->public_key &&
         facts->not_after_unix_s > now_unix_s + kRenewBeforeS &&
         (IsAnyAddress(listen_host) || IsFor(*pem, listen_host));
}

// A name of this host, if it has one that a certificate can hold.
std::optional<std::string> CertifiableHostName() {
  const std::string text = HostName();
  const bool plain = !text.empty() && text.find_first_not_of(
                                          "abcdefghijklmnopqrstuvwxyz"
                                          "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789.-") == std::string::npos;
  return plain ? std::optional(text) : std::nullopt;
}

Result<std::optional<TlsFiles>> OwnFiles(const std::string& listen_host,
                                         const std::string& state_folder) {
  const TlsFiles files = {state_folder + "/https-certificate.pem", state_folder + "/https-key.pem"};
  const int64_t now_unix_s = UnixNowS();
  if (IsGood(files, listen_host, now_unix_s)) return std::optional(files);
  std::set<std::string> names = {"localhost", "127.0.0.1", "::1"};
  if (const std::optional<std::string> host = CertifiableHostName()) names.insert(*host);
  for (const Address& address : ReachableAddresses({"", listen_host, 0})) {
    names.insert(address.host);
  }
  ASSIGN_OR_RETURN(const std::string key, MakeKey());
  ASSIGN_OR_RETURN(const std::string certificate,
                   MakeSelfSigned(key, {names.begin(), names.end()}, now_unix_s));
  RETURN_IF_ERROR(WriteFileAtomically(files.key, key));
  RETURN_IF_ERROR(WriteFileAtomically(files.certificate, certificate));
  return std::optional(files);
}

}  // namespace

Result<std::optional<TlsFiles>> ChooseHttpsFiles(const HttpsChoice& choice,
                                                 const std::string& listen_host,
                                                 const std::string& state_folder) {
  if (choice.certificate.empty() != choice.key.empty()) {
    return InvalidArgument("--tls-cert and --tls-key belong together: one of them is missing");
  }
  if (!choice.certificate.empty()) {
    return std::optional(TlsFiles{choice.certificate, choice.key});
  }
  if (choice.tls == "self") return OwnFiles(listen_host, state_folder);
  return std::optional<TlsFiles>();
}

}  // namespace shoal
