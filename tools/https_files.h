// Which certificate the HTTP server shows: one that the user gave, or one of its own.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "coordinator/api/http_server.h"

namespace shoal {

struct HttpsChoice {
  std::string certificate;  // --tls-cert
  std::string key;          // --tls-key
  std::string tls;          // --tls: "self" or empty
};

// None: plain HTTP. "self" keeps a self-signed certificate in `state_folder`, for this host's name,
// localhost and `listen_host` (if that is all addresses, for those that there are when it is made),
// and makes another one when it ends within a month, is not for `listen_host`, or is damaged.
// Errors: only one of the two files is given; the state folder cannot be written.
Result<std::optional<TlsFiles>> ChooseHttpsFiles(const HttpsChoice& choice,
                                                 const std::string& listen_host,
                                                 const std::string& state_folder);

}  // namespace shoal
