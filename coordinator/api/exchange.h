// One HTTP request and its reply: what lies between the connection, which moves bytes, and the
// routes and answers, which know what they mean. All of it lives on the server's I/O thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <string>
#include <string_view>

#include "coordinator/api/api_keys.h"
#include "coordinator/api/http_message.h"
#include "coordinator/api/http_server.h"

namespace shoal {

struct HttpRequest {
  std::string method;
  std::string target;
  std::string body;
};

// Where a reply goes: Reply once, or BeginStream, any number of SendEvent and SendComment, and
// EndStream. None of them calls back, none blocks, and none fails: a client that is gone or does
// not read is told by Exchange::Abandon, later.
class ReplyChannel {
 public:
  virtual ~ReplyChannel() = default;
  virtual void Reply(const HttpReply& reply) = 0;
  virtual void BeginStream() = 0;
  virtual void SendEvent(std::string_view data) = 0;
  virtual void SendComment(std::string_view text) = 0;
  // After an error the connection is closed: what follows on it is not to be trusted.
  virtual void EndStream(bool after_error) = 0;
};

// A request that is being answered over time.
class Exchange {
 public:
  virtual ~Exchange() = default;
  // The client is gone: frees what the request holds; the channel is not used again.
  virtual void Abandon() = 0;
  // The server is shutting down: replies at once, with an error if there is nothing better.
  virtual void Stop() = 0;
};

// What all requests share; outlives them.
struct ServerContext {
  const HttpServerOptions& options;
  Engine& engine;
  const TextModel& text;
  boost::asio::io_context& io;        // run by one thread
  boost::asio::thread_pool& workers;  // for work that would hold up other clients
  ApiKeyFile& keys;
  bool local;  // listens on a loopback address, where no keys means that none is needed
};

}  // namespace shoal
