#include "net/self_signed.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <memory>

namespace shoal {

namespace {

constexpr int64_t kSecondsPerHour = 3600;
constexpr int64_t kSecondsPerDay = 24 * kSecondsPerHour;

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;
using Bio = std::unique_ptr<BIO, Freer<BIO_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freer<X509_EXTENSION_free>>;

Error Failed() { return InternalError("OpenSSL cannot make a certificate"); }

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

bool Extend(X509* certificate, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool SetSerial(X509* certificate) {
  uint64_t serial = 0;
  return RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial)) == 1 &&
         ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1 | 1) == 1;
}

bool SetName(X509* certificate) {
  const auto* text = reinterpret_cast<const unsigned char*>("Shoal");
  X509_NAME* const name = X509_get_subject_name(certificate);
  return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0) == 1 &&
         X509_set_issuer_name(certificate, name) == 1;
}

std::string TextOf(BIO* bio) {
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio, &bytes);
  return {bytes, static_cast<size_t>(size)};
}

}  // namespace

Result<SelfSigned> MakeSelfSigned(const std::vector<std::string>& names, int64_t now_unix_s) {
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate(X509_new());
  if (!key || !certificate) return Failed();
  X509* const made = certificate.get();
  const bool filled =
      X509_set_version(made, X509_VERSION_3) == 1 && SetSerial(made) && SetName(made) &&
      ASN1_TIME_set(X509_getm_notBefore(made), now_unix_s - kSecondsPerHour) != nullptr &&
      ASN1_TIME_set(X509_getm_notAfter(made), now_unix_s + kSelfSignedDays * kSecondsPerDay) !=
          nullptr &&
      X509_set_pubkey(made, key.get()) == 1 &&
      // It is its own authority, so that a client can be told to trust the file.
      Extend(made, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
      Extend(made, NID_key_usage, "critical,digitalSignature,keyCertSign") &&
      Extend(made, NID_ext_key_usage, "serverAuth") &&
      Extend(made, NID_subject_key_identifier, "hash") &&
      Extend(made, NID_subject_alt_name, AlternativeNames(names)) &&
      X509_sign(made, key.get(), EVP_sha256()) != 0;
  const Bio certificate_text(BIO_new(BIO_s_mem())), key_text(BIO_new(BIO_s_secmem()));
  if (!filled || !certificate_text || !key_text ||
      PEM_write_bio_X509(certificate_text.get(), made) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                    nullptr) != 1) {
    return Failed();
  }
  return SelfSigned{TextOf(certificate_text.get()), TextOf(key_text.get())};
}

Result<CertificateFacts> ReadCertificate(const std::string& pem) {
  const Bio text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const Certificate certificate(text ? PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr)
                                     : nullptr);
  if (!certificate) return InvalidArgument("there is no certificate in PEM form");
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  std::tm not_after = {};
  if (X509_digest(certificate.get(), EVP_sha256(), digest, &size) != 1 ||
      ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &not_after) != 1) {
    return InvalidArgument("the certificate cannot be read");
  }
  CertificateFacts facts;
  for (unsigned int i = 0; i < size; ++i) {
    facts.sha256 += fmt::format("{}{:02X}", i == 0 ? "" : ":", digest[i]);
  }
  facts.not_after_unix_s = ::timegm(&not_after);
  return facts;
}

}  // namespace shoal
