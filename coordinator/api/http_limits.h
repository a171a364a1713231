// Limits of what a client of the HTTP server may send, and how long it may take.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shoal {

struct HttpLimits {
  static constexpr int64_t kMaxBodyBytes = 8 << 20;
  static constexpr int64_t kMaxHeaderBytes = 16 << 10;
  static constexpr size_t kMaxPipelinedBytes = 64 << 10;  // of next requests, during an answer
  static constexpr size_t kMaxUnsentBytes = 1 << 20;      // of a stream the client does not read
  static constexpr int kMaxConnections = 256;
  static constexpr int kHeaderTimeoutS = 15;  // to send the headers
  static constexpr int kBodyTimeoutS = 60;    // to send the body
  static constexpr int kIdleTimeoutS = 75;    // between requests of one connection
  static constexpr int kWriteTimeoutS = 30;   // a client that does not read is dropped
  static constexpr int kLingerTimeoutS = 2;   // for the client to read an error and close
  static constexpr int kShutdownMs = 500;     // for last replies when the server stops
  static constexpr int kKeepAliveS = 10;      // a stream that has nothing to say sends a comment
  static constexpr int kMaxChoices = 8;       // `n` of one request
  static constexpr size_t kMaxPrompts = 32;   // of one /v1/completions request
  static constexpr size_t kMaxMessages = 4096;
  static constexpr int kRetryAfterS = 2;
};

}  // namespace shoal
