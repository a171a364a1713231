// The answer to one completion request: prepares it on a worker, starts a session for each choice,
// and turns what the engine reports into a whole response or a stream of chunks.
//
// A stream's first byte is sent with its first token, so that what goes wrong before has its HTTP
// status; only if there is no token for long does it begin without one (and then sends comments, so
// that neither proxy nor client takes silence for death).
//
// Thread rule: all on the server's I/O thread. The engine's threads reach it by posting.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "coordinator/api/exchange.h"
#include "coordinator/api/prepare.h"
#include "coordinator/api/response_json.h"

namespace shoal {

class Answer final : public Exchange, public std::enable_shared_from_this<Answer> {
 public:
  // `channel` is used until the reply is complete or the exchange abandoned.
  Answer(ServerContext& server, Endpoint endpoint, ReplyChannel& channel);

  // Called once.
  void Begin(std::string body);
  void Abandon() override;
  void Stop() override;

  // What the sinks post.
  void OnText(size_t choice, const std::string& text, const std::optional<TokenReport>& report);
  void OnFinish(size_t choice, const std::string& tail, FinishReason reason,
                const std::optional<Error>& error, const GenerationStats& stats);

 private:
  using Prepared = std::variant<PreparedRequest, ApiError>;
  struct ChoiceState {
    std::optional<SessionId> session;  // while it runs
    Choice collected;                  // unless streaming
    int64_t characters = 0;            // of the tokens so far
  };

  void OnPrepared(Prepared prepared);
  Status StartSessions();
  void CancelSessions();
  void ShowText(size_t choice, const std::string& text, const TokenReport* report);
  void EnsureStream();
  void Complete();
  void Fail(const ApiError& error);
  void KeepAlive();

  ServerContext& server_;
  const Endpoint endpoint_;
  ReplyChannel* channel_;  // null once the exchange is over
  boost::asio::steady_timer keep_alive_timer_;
  std::optional<ResponseFormat> format_;
  PreparedRequest request_;
  std::vector<ChoiceState> choices_;  // of all prompts, prompt by prompt
  size_t unfinished_ = 0;
  Usage usage_;
  bool streaming_ = false;  // the head is out
  bool quiet_ = true;       // nothing was sent since the last keep-alive
};

}  // namespace shoal
