// The certificate and key of the HTTPS server, from files.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>

#include "base/result.h"
#include "coordinator/api/http_server.h"

namespace shoal {

// TLS 1.2 and later. Errors name the file: unreadable, not PEM, encrypted, or a key that is not the
// certificate's.
Result<std::unique_ptr<boost::asio::ssl::context>> LoadTls(const TlsFiles& files);

}  // namespace shoal
