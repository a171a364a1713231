// Owners of OpenSSL's objects.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>

namespace shoal {

struct OpenSslFree {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_MD_CTX* digest) const { EVP_MD_CTX_free(digest); }
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

using BioHandle = std::unique_ptr<BIO, OpenSslFree>;
using KeyHandle = std::unique_ptr<EVP_PKEY, OpenSslFree>;
using DigestHandle = std::unique_ptr<EVP_MD_CTX, OpenSslFree>;
using CertificateHandle = std::unique_ptr<X509, OpenSslFree>;
using SslHandle = std::unique_ptr<SSL, OpenSslFree>;
using SslContextHandle = std::unique_ptr<SSL_CTX, OpenSslFree>;

}  // namespace shoal
