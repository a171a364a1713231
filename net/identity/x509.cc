#include "net/identity/x509.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <memory>
#include <span>

#include "net/identity/base32.h"
#include "net/identity/openssl_handle.h"

namespace shoal {

namespace {

constexpr int kSerialBits = 127;
constexpr int kMaxPublicKeyBytes = 512;
constexpr const char* kCurve = "P-256";

Error OpenSslError(const std::string& what) {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return InvalidArgument(what + ": " + (reason == nullptr ? "not well-formed" : reason));
}

BioHandle BioOf(const std::string& bytes) {
  return BioHandle(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

std::string TextOf(BIO& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(&bio, &data);
  return {data, static_cast<size_t>(size)};
}

template <typename Object, typename Encode>
std::string ToDer(Object* object, Encode encode) {
  unsigned char* der = nullptr;
  const int size = encode(object, &der);
  if (size <= 0) return {};
  std::string bytes(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

// Never asks a terminal for a passphrase.
int NoPassphrase(char*, int, int, void*) { return -1; }

Result<KeyHandle> ReadKey(const std::string& pem) {
  const BioHandle bio = BioOf(pem);
  KeyHandle key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) return OpenSslError("private key");
  return key;
}

Result<CertificateHandle> ReadX509(const std::string& pem) {
  const BioHandle bio = BioOf(pem);
  CertificateHandle certificate(PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr));
  if (certificate == nullptr) return OpenSslError("certificate");
  return certificate;
}

Result<std::string> ToPem(X509& certificate) {
  const BioHandle bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(bio.get(), &certificate) != 1) return OpenSslError("certificate");
  return TextOf(*bio);
}

Result<KeyHandle> ReadPublicKey(const std::string& der) {
  if (der.size() > kMaxPublicKeyBytes) {
    return InvalidArgument(
        fmt::format("public key: {} bytes, expected at most {}", der.size(), kMaxPublicKeyBytes));
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
  KeyHandle key(d2i_PUBKEY(nullptr, &bytes, static_cast<long>(der.size())));
  if (key == nullptr) return OpenSslError("public key");
  char curve[32] = {};
  if (EVP_PKEY_get_group_name(key.get(), curve, sizeof curve, nullptr) != 1 ||
      std::string_view(curve) != "prime256v1") {
    return InvalidArgument(fmt::format("public key: expected one on {}", kCurve));
  }
  return key;
}

bool AddExtension(X509& certificate, X509& issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, &issuer, &certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  const bool added = extension != nullptr && X509_add_ext(&certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

bool SetRandomSerial(X509& certificate) {
  BIGNUM* serial = BN_new();
  const bool set = BN_rand(serial, kSerialBits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
                   BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(&certificate)) != nullptr;
  BN_free(serial);
  return set;
}

bool SetTime(ASN1_TIME* field, int64_t unix_s) {
  return ASN1_TIME_set(field, static_cast<time_t>(unix_s)) != nullptr;
}

int64_t UnixOf(const ASN1_TIME* time) {
  tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? int64_t{timegm(&parts)} : 0;
}

// Everything but extensions, issuer and signature.
Result<CertificateHandle> Draft(EVP_PKEY& key, const std::string& name, int64_t now_unix_s,
                                int64_t days) {
  CertificateHandle draft(X509_new());
  X509_NAME* subject = X509_get_subject_name(draft.get());
  const auto* text = reinterpret_cast<const unsigned char*>(name.c_str());
  if (X509_set_version(draft.get(), X509_VERSION_3) != 1 || !SetRandomSerial(*draft) ||
      !SetTime(X509_getm_notBefore(draft.get()), now_unix_s - kClockSkewS) ||
      !SetTime(X509_getm_notAfter(draft.get()), now_unix_s + days * kSecondsPerDay) ||
      X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, text, -1, -1, 0) != 1 ||
      X509_set_pubkey(draft.get(), &key) != 1) {
    return OpenSslError("certificate");
  }
  return draft;
}

bool IsIpAddress(const std::string& name) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, name.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, name.c_str(), bytes) == 1;
}

std::string AlternativeNames(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    text += fmt::format("{}{}:{}", text.empty() ? "" : ",", IsIpAddress(name) ? "IP" : "DNS", name);
  }
  return text;
}

std::vector<std::string> DnsNamesOf(X509& certificate) {
  std::vector<std::string> names;
  auto* all = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(all); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(all, i);
    if (name->type != GEN_DNS) continue;
    names.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                       static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
  }
  GENERAL_NAMES_free(all);
  return names;
}

}  // namespace

Result<PeerIdentity> CertificateFacts::Identity() const {
  if (dns_names.size() != 1) {
    return InvalidArgument(
        fmt::format("a certificate with {} DNS names, expected one", dns_names.size()));
  }
  return ParsePeerIdentity(dns_names[0]);
}

Result<std::string> MakeKey() {
  const KeyHandle key(EVP_EC_gen(kCurve));
  const BioHandle bio(BIO_new(BIO_s_mem()));
  if (key == nullptr ||
      PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpenSslError("private key");
  }
  return TextOf(*bio);
}

Result<std::string> PublicKeyOf(const std::string& key_pem) {
  ASSIGN_OR_RETURN(const KeyHandle key, ReadKey(key_pem));
  std::string der = ToDer(key.get(), i2d_PUBKEY);
  if (der.empty()) return OpenSslError("public key");
  return der;
}

Result<std::string> MakeAuthority(const std::string& key_pem, int64_t now_unix_s) {
  ASSIGN_OR_RETURN(const KeyHandle key, ReadKey(key_pem));
  ASSIGN_OR_RETURN(const CertificateHandle draft,
                   Draft(*key, "shoal mesh authority", now_unix_s, kAuthorityDays));
  X509& authority = *draft;
  if (X509_set_issuer_name(&authority, X509_get_subject_name(&authority)) != 1 ||
      !AddExtension(authority, authority, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !AddExtension(authority, authority, NID_key_usage, "critical,keyCertSign") ||
      !AddExtension(authority, authority, NID_subject_key_identifier, "hash") ||
      X509_sign(&authority, key.get(), EVP_sha256()) == 0) {
    return OpenSslError("authority");
  }
  return ToPem(authority);
}

Result<std::string> MakeSelfSigned(const std::string& key_pem,
                                   const std::vector<std::string>& names, int64_t now_unix_s) {
  ASSIGN_OR_RETURN(const KeyHandle key, ReadKey(key_pem));
  ASSIGN_OR_RETURN(const CertificateHandle draft,
                   Draft(*key, "Shoal", now_unix_s, kSelfSignedDays));
  X509& made = *draft;
  if (X509_set_issuer_name(&made, X509_get_subject_name(&made)) != 1 ||
      // It is its own authority, so that a client can be told to trust the file.
      !AddExtension(made, made, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !AddExtension(made, made, NID_key_usage, "critical,digitalSignature,keyCertSign") ||
      !AddExtension(made, made, NID_ext_key_usage, "serverAuth") ||
      !AddExtension(made, made, NID_subject_key_identifier, "hash") ||
      !AddExtension(made, made, NID_subject_alt_name, AlternativeNames(names)) ||
      X509_sign(&made, key.get(), EVP_sha256()) == 0) {
    return OpenSslError("certificate");
  }
  return ToPem(made);
}

std::string MeshIdOf(const CertificateFacts& authority) {
  return ToBase32(std::span(authority.fingerprint).first(kIdBytes));
}

Result<std::string> IssueCertificate(const std::string& authority_pem,
                                     const std::string& authority_key_pem,
                                     const CertificateOrder& order) {
  ASSIGN_OR_RETURN(const CertificateHandle authority, ReadX509(authority_pem));
  ASSIGN_OR_RETURN(const KeyHandle authority_key, ReadKey(authority_key_pem));
  ASSIGN_OR_RETURN(const KeyHandle key, ReadPublicKey(order.public_key));
  ASSIGN_OR_RETURN(const CertificateHandle draft,
                   Draft(*key, order.identity.id, order.now_unix_s, order.days));
  X509& leaf = *draft;
  X509& issuer = *authority;
  if (X509_set_issuer_name(&leaf, X509_get_subject_name(&issuer)) != 1 ||
      !AddExtension(leaf, issuer, NID_basic_constraints, "critical,CA:FALSE") ||
      !AddExtension(leaf, issuer, NID_key_usage, "critical,digitalSignature") ||
      !AddExtension(leaf, issuer, NID_ext_key_usage, "serverAuth,clientAuth") ||
      !AddExtension(leaf, issuer, NID_subject_alt_name, "DNS:" + order.identity.DnsName()) ||
      !AddExtension(leaf, issuer, NID_authority_key_identifier, "keyid:always") ||
      X509_sign(&leaf, authority_key.get(), EVP_sha256()) == 0) {
    return OpenSslError("certificate of " + order.identity.DnsName());
  }
  return ToPem(leaf);
}

Result<CertificateFacts> ReadCertificate(const std::string& pem) {
  ASSIGN_OR_RETURN(const CertificateHandle certificate, ReadX509(pem));
  CertificateFacts facts;
  facts.dns_names = DnsNamesOf(*certificate);
  facts.authority = X509_check_ca(certificate.get()) == 1;
  facts.not_before_unix_s = UnixOf(X509_get0_notBefore(certificate.get()));
  facts.not_after_unix_s = UnixOf(X509_get0_notAfter(certificate.get()));
  const std::string der = ToDer(certificate.get(), i2d_X509);
  facts.fingerprint = Sha256Of(std::as_bytes(std::span(der)));
  if (EVP_PKEY* key = X509_get0_pubkey(certificate.get()); key != nullptr) {
    facts.public_key = ToDer(key, i2d_PUBKEY);
  }
  if (der.empty() || facts.public_key.empty()) return OpenSslError("certificate");
  return facts;
}

bool IsFor(const std::string& pem, const std::string& name) {
  const Result<CertificateHandle> certificate = ReadX509(pem);
  return certificate.ok() &&
         (X509_check_ip_asc(certificate->get(), name.c_str(), 0) == 1 ||
          X509_check_host(certificate->get(), name.data(), name.size(), 0, nullptr) == 1);
}

Result<std::string> Sign(const std::string& key_pem, std::string_view text) {
  ASSIGN_OR_RETURN(const KeyHandle key, ReadKey(key_pem));
  const DigestHandle digest(EVP_MD_CTX_new());
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  std::string signature(static_cast<size_t>(EVP_PKEY_get_size(key.get())), '\0');
  size_t size = signature.size();
  if (EVP_DigestSignInit(digest.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_DigestSign(digest.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes,
                     text.size()) != 1) {
    return OpenSslError("signature");
  }
  signature.resize(size);
  return signature;
}

Status CheckSignature(const std::string& pem, std::string_view text, std::string_view signature) {
  ASSIGN_OR_RETURN(const CertificateHandle certificate, ReadX509(pem));
  const DigestHandle digest(EVP_MD_CTX_new());
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  const bool made_it =
      EVP_DigestVerifyInit(digest.get(), nullptr, EVP_sha256(), nullptr,
                           X509_get0_pubkey(certificate.get())) == 1 &&
      EVP_DigestVerify(digest.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                       signature.size(), bytes, text.size()) == 1;
  ERR_clear_error();
  if (made_it) return OkStatus();
  return FailedPrecondition("the signature was not made with the certificate's key");
}

std::string FingerprintText(const Sha256Digest& fingerprint) {
  return fmt::format("{:02X}", fmt::join(fingerprint, ":"));
}

Status CheckIssuedBy(const std::string& pem, const std::string& authority_pem) {
  ASSIGN_OR_RETURN(const CertificateHandle certificate, ReadX509(pem));
  ASSIGN_OR_RETURN(const CertificateHandle authority, ReadX509(authority_pem));
  const bool issued = X509_check_issued(authority.get(), certificate.get()) == X509_V_OK &&
                      X509_verify(certificate.get(), X509_get0_pubkey(authority.get())) == 1;
  ERR_clear_error();
  if (issued) return OkStatus();
  return FailedPrecondition("the certificate was not issued by this mesh's authority");
}

}  // namespace shoal
