#include "tools/https_files.h"

#include <unistd.h>

#include <vector>

#include "base/atomic_file.h"
#include "base/wall_clock.h"
#include "net/identity/x509.h"
#include "tools/host_name.h"

namespace shoal {

namespace {

constexpr int64_t kRenewBeforeS = 30 * 24 * 3600;

bool IsGood(const TlsFiles& files, int64_t now_unix_s) {
  const Result<std::string> pem = ReadFileUpTo(files.certificate, kMaxPemBytes);
  if (!pem.ok() || ::access(files.key.c_str(), R_OK) != 0) return false;
  const Result<CertificateFacts> facts = ReadCertificate(*pem);
  return facts.ok() && facts->not_after_unix_s > now_unix_s + kRenewBeforeS;
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
  if (IsGood(files, now_unix_s)) return std::optional(files);
  std::vector<std::string> names = {"localhost", "127.0.0.1", "::1"};
  if (const std::optional<std::string> host = CertifiableHostName(); host && *host != "localhost") {
    names.push_back(*host);
  }
  if (listen_host.find_first_not_of("0.:") != std::string::npos && listen_host != "127.0.0.1" &&
      listen_host != "::1") {
    names.push_back(listen_host);
  }
  ASSIGN_OR_RETURN(const std::string key, MakeKey());
  ASSIGN_OR_RETURN(const std::string certificate, MakeSelfSigned(key, names, now_unix_s));
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
