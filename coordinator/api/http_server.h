// The OpenAI-compatible HTTP server, on Boost.Beast: /v1/chat/completions and /v1/completions
// (streaming and not), /v1/models, /health.
//
// Everything a client sends is bounded and checked here and answered in OpenAI's error shape. A
// client that disconnects frees its session. Without keys or TLS (they come with pairing) it
// listens where it is told, loopback by default.
//
// Thread rule: Start and Stop from one thread; runs its own threads. The engine outlives it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "coordinator/engine.h"
#include "coordinator/text_model.h"

namespace shoal {

struct HttpLimits {
  static constexpr int64_t kMaxBodyBytes = 8 << 20;
  static constexpr int64_t kMaxHeaderBytes = 16 << 10;
  static constexpr int kMaxConnections = 256;
  static constexpr int kHeaderTimeoutS = 15;  // to send the headers
  static constexpr int kBodyTimeoutS = 60;    // to send the body
  static constexpr int kIdleTimeoutS = 75;    // between requests of one connection
  static constexpr int kWriteTimeoutS = 30;   // a client that does not read is dropped
  static constexpr int kMaxChoices = 8;       // `n` of one request
  static constexpr size_t kMaxPrompts = 32;   // of one /v1/completions request
  static constexpr size_t kMaxMessages = 4096;
  static constexpr int kRetryAfterS = 2;
};

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;  // 0: any free port
  std::string model_id;  // as /v1/models names it
  int64_t created_unix_s = 0;
  int32_t default_max_tokens = 0;  // 0: whatever the context has left
};

class HttpServer {
 public:
  // Binds and begins to serve. Errors: the address cannot be parsed or bound (named).
  static Result<std::unique_ptr<HttpServer>> Start(const HttpServerOptions& options, Engine& engine,
                                                   const TextModel& text);
  // Cancels what runs, closes connections, joins the threads.
  ~HttpServer();

  uint16_t port() const;

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal
