#include "coordinator/api/tls_files.h"

#include <fmt/format.h>
#include <openssl/ssl.h>

#include "base/atomic_file.h"

namespace shoal {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

namespace {

constexpr int64_t kMaxFileBytes = 1 << 20;

}  // namespace

Result<std::unique_ptr<ssl::context>> LoadTls(const TlsFiles& files) {
  try {
    auto tls = std::make_unique<ssl::context>(ssl::context::tls_server);
    SSL_CTX* const context = tls->native_handle();
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    error_code error;
    // Or OpenSSL would ask on the terminal.
    tls->set_password_callback([](size_t, ssl::context::password_purpose) { return ""; }, error);
    // OpenSSL does not say what the system said.
    RETURN_IF_ERROR(ReadFileUpTo(files.certificate, kMaxFileBytes));
    RETURN_IF_ERROR(ReadFileUpTo(files.key, kMaxFileBytes));
    tls->use_certificate_chain_file(files.certificate, error);
    if (error) {
      return InvalidArgument(fmt::format("--tls-cert {}: no certificate in PEM form: {}",
                                         files.certificate, error.message()));
    }
    tls->use_private_key_file(files.key, ssl::context::pem, error);
    if (error) {
      return InvalidArgument(fmt::format(
          "--tls-key {}: no private key in PEM form without a password that belongs to {}: {}",
          files.key, files.certificate, error.message()));
    }
    return tls;
  } catch (const std::exception& exception) {  // Asio's
    return InternalError(fmt::format("TLS: {}", exception.what()));
  }
}

}  // namespace shoal
