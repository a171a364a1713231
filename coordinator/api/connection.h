// One client's connection: reads requests within limits and deadlines, hands them on one at a time,
// and writes replies. There is always a read pending, so that a client that leaves is noticed at
// once, also while it waits for an answer.
//
// Thread rule: all on the server's I/O thread.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "coordinator/api/client_stream.h"
#include "coordinator/api/exchange.h"

namespace shoal {

class Connection final : public ReplyChannel, public std::enable_shared_from_this<Connection> {
 public:
  // `on_closed` is called once, from Close.
  Connection(ClientStream stream, ServerContext& server,
             std::function<void(Connection*)> on_closed);

  void Open();
  // Abandons the exchange, if there is one, and drops the connection.
  void Close();
  // Stops the exchange, if there is one, and drops the connection once its reply is out.
  void Finish();

  void Reply(const HttpReply& reply) override;
  void BeginStream() override;
  void SendEvent(std::string_view data) override;
  void SendComment(std::string_view text) override;
  void EndStream(bool after_error) override;

 private:
  enum class Phase {
    kHandshake,  // of TLS
    kIdle,       // between requests
    kHead,       // within a request's headers
    kBody,       // within its body
    kAnswering,  // the reply is not complete
    kDraining,   // the reply is complete but not all sent
    kLingering,  // all sent and shut down; reads what the client still sends, so that it can read
    kClosed,
  };

  void FirstRequest();
  void NextRequest();
  void EnterPhase(Phase phase);  // and its deadline
  void OnDeadline();

  void Read();
  void OnRead(boost::system::error_code error, size_t bytes);
  void Feed();
  // False if the head is refused.
  bool OnHead();
  std::optional<ApiError> WhyNot();  // why it may not ask
  void OnRequest();
  void Refuse(const ApiError& error);
  void FinishReply();

  void Send(const std::string& bytes);
  void Write();
  void OnWritten(boost::system::error_code error, size_t bytes);
  void OnDrained();

  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  ClientStream stream_;
  ServerContext& server_;
  std::function<void(Connection*)> on_closed_;
  boost::asio::steady_timer phase_timer_;
  boost::asio::steady_timer write_timer_;

  Phase phase_ = Phase::kIdle;
  std::optional<Parser> parser_;
  boost::beast::flat_buffer input_;
  bool reading_ = false;                // a read is pending
  bool peer_closed_ = false;            // it will send no more
  std::shared_ptr<Exchange> exchange_;  // second owner: its own pending handlers
  ReplyMode mode_;                      // of the request that is being answered

  std::string unsent_;  // after what is being written
  std::string writing_;
  size_t written_ = 0;
};

}  // namespace shoal
