// The OpenAI-compatible HTTP server, on Boost.Beast: /v1/chat/completions and /v1/completions
// (streaming and not), /v1/models, /health.
//
// Everything a client sends is bounded and checked here and answered in OpenAI's error shape. A
// client that disconnects frees its session. Where there are API keys every request but /health
// must show one; without any, only an address of this machine's own is served.
//
// Thread rule: started and destroyed by one thread; runs its own threads. Engine and text model
// outlive it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "coordinator/api/http_limits.h"
#include "coordinator/engine.h"
#include "coordinator/text_model.h"

namespace shoal {

// From HttpLimits; shorter in tests.
struct HttpTimeouts {
  std::chrono::milliseconds header = std::chrono::seconds(HttpLimits::kHeaderTimeoutS);
  std::chrono::milliseconds body = std::chrono::seconds(HttpLimits::kBodyTimeoutS);
  std::chrono::milliseconds idle = std::chrono::seconds(HttpLimits::kIdleTimeoutS);
  std::chrono::milliseconds write = std::chrono::seconds(HttpLimits::kWriteTimeoutS);
  std::chrono::milliseconds linger = std::chrono::seconds(HttpLimits::kLingerTimeoutS);
  std::chrono::milliseconds shutdown = std::chrono::milliseconds(HttpLimits::kShutdownMs);
  std::chrono::milliseconds keep_alive = std::chrono::seconds(HttpLimits::kKeepAliveS);
};

// PEM: a certificate with its chain, and its private key without a password.
struct TlsFiles {
  std::string certificate;
  std::string key;
};

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;  // 0: any free port
  std::string model_id;  // as /v1/models names it
  int64_t created_unix_s = 0;
  std::optional<TlsFiles> tls;     // none: plain HTTP
  std::string api_keys_path;       // see ApiKeyFile; empty: no keys
  int32_t default_max_tokens = 0;  // 0: whatever the context has left
  HttpTimeouts timeouts;
};

class HttpServer {
 public:
  // Binds and begins to serve. Errors: the address cannot be parsed or bound (named), or the
  // TLS files cannot be used.
  static Result<std::unique_ptr<HttpServer>> Start(const HttpServerOptions& options, Engine& engine,
                                                   const TextModel& text);
  // Ends what runs with an error that says why, sends what is left to send for at most
  // `timeouts.shutdown`, closes connections, joins the threads.
  ~HttpServer();

  uint16_t port() const;

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal
