#include "coordinator/api/connection.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/error.hpp>
#include <ctime>
#include <utility>

#include "base/log.h"
#include "coordinator/api/local_caller.h"
#include "coordinator/api/routes.h"

namespace shoal {

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr size_t kReadBytes = 16 << 10;
constexpr int kSendBufferBytes = 128 << 10;

std::string ToString(boost::beast::string_view view) { return {view.data(), view.size()}; }

// Tokens leave at once, and a peer that vanished without a word is found out by the kernel. Failing
// to set one costs no more than that.
void SetSocketOptions(asio::ip::tcp::socket& socket, const HttpTimeouts& timeouts) {
  error_code ignored;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  // What a client does not read waits here, where it is bounded and the deadline sees it.
  socket.set_option(asio::socket_base::send_buffer_size(kSendBufferBytes), ignored);
#ifdef __linux__
  constexpr int kIdleS = 30, kIntervalS = 10, kProbes = 3;
  const auto set = [&](int option, unsigned value) {
    setsockopt(socket.native_handle(), IPPROTO_TCP, option, &value, sizeof(value));
  };
  set(TCP_KEEPIDLE, kIdleS);
  set(TCP_KEEPINTVL, kIntervalS);
  set(TCP_KEEPCNT, kProbes);
  set(TCP_USER_TIMEOUT, static_cast<unsigned>(timeouts.write.count()));
#endif
}

ApiError ParserError(error_code error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return ProtocolError(
        431, fmt::format("the request's headers exceed {} bytes", HttpLimits::kMaxHeaderBytes));
  }
  if (error == http::error::body_limit) {
    return ProtocolError(
        413, fmt::format("the request's body exceeds {} bytes", HttpLimits::kMaxBodyBytes));
  }
  return ProtocolError(400, "this is not HTTP/1.1 as expected: " + error.message());
}

}  // namespace

Connection::Connection(ClientStream stream, ServerContext& server,
                       std::function<void(Connection*)> on_closed)
    : stream_(std::move(stream)),
      server_(server),
      on_closed_(std::move(on_closed)),
      phase_timer_(server.io),
      write_timer_(server.io) {}

void Connection::Open() {
  SetSocketOptions(stream_.socket(), server_.options.timeouts);
  if (!stream_.encrypted()) return FirstRequest();
  EnterPhase(Phase::kHandshake);
  stream_.Handshake([self = shared_from_this()](error_code error) {
    if (self->phase_ == Phase::kClosed) return;
    if (!error) return self->FirstRequest();
    spdlog::debug("HTTPS server: a handshake failed: {}", error.message());
    self->Close();
  });
}

void Connection::FirstRequest() {
  NextRequest();
  EnterPhase(Phase::kHead);
}

void Connection::Close() {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  if (exchange_) std::exchange(exchange_, nullptr)->Abandon();
  phase_timer_.cancel();
  write_timer_.cancel();
  error_code ignored;
  stream_.socket().close(ignored);
  on_closed_(this);
}

void Connection::Finish() {
  mode_.keep_alive = false;
  switch (phase_) {
    case Phase::kHandshake:
    case Phase::kIdle:
    case Phase::kHead:
    case Phase::kBody: return Close();
    case Phase::kAnswering:
      if (const std::shared_ptr<Exchange> exchange = exchange_) exchange->Stop();
      return;
    case Phase::kDraining:
    case Phase::kLingering:
    case Phase::kClosed: return;
  }
}

// ---- Reading ----

void Connection::NextRequest() {
  parser_.emplace();
  parser_->eager(true);
  parser_->header_limit(HttpLimits::kMaxHeaderBytes);
  parser_->body_limit(HttpLimits::kMaxBodyBytes);
  EnterPhase(Phase::kIdle);
  if (input_.size() > 0) {
    asio::post(server_.io, [self = shared_from_this()] { self->Feed(); });
  }
  Read();
}

void Connection::EnterPhase(Phase phase) {
  phase_ = phase;
  const HttpTimeouts& timeouts = server_.options.timeouts;
  switch (phase) {
    case Phase::kIdle: phase_timer_.expires_after(timeouts.idle); break;
    case Phase::kHandshake:
    case Phase::kHead: phase_timer_.expires_after(timeouts.header); break;
    case Phase::kBody: phase_timer_.expires_after(timeouts.body); break;
    case Phase::kLingering: phase_timer_.expires_after(timeouts.linger); break;
    case Phase::kAnswering:  // the engine's business
    case Phase::kDraining:   // the write's
    case Phase::kClosed: phase_timer_.cancel(); return;
  }
  phase_timer_.async_wait([self = shared_from_this()](error_code error) {
    if (!error) self->OnDeadline();
  });
}

void Connection::OnDeadline() {
  // The timer may have been set anew after this call was queued.
  if (phase_timer_.expiry() > asio::steady_timer::clock_type::now()) return;
  switch (phase_) {
    case Phase::kHead:
      if (!parser_->got_some() && input_.size() == 0) return Close();
      return Refuse(ProtocolError(408, "the request's headers came too slowly"));
    case Phase::kBody: return Refuse(ProtocolError(408, "the request's body came too slowly"));
    case Phase::kHandshake:
    case Phase::kIdle:
    case Phase::kLingering: return Close();
    case Phase::kAnswering:
    case Phase::kDraining:
    case Phase::kClosed: return;  // have no deadline: the call was queued before they began
  }
}

void Connection::Read() {
  if (reading_ || peer_closed_ || phase_ == Phase::kClosed) return;
  if (input_.size() >= HttpLimits::kMaxPipelinedBytes) return;  // until this request is answered
  reading_ = true;
  stream_.ReadSome(
      input_.prepare(kReadBytes),
      [self = shared_from_this()](error_code error, size_t bytes) { self->OnRead(error, bytes); });
}

void Connection::OnRead(error_code error, size_t bytes) {
  reading_ = false;
  if (phase_ == Phase::kClosed) return;
  if (error) {
    peer_closed_ = true;
    // A client may close its side and still read a reply that is complete.
    if (phase_ != Phase::kDraining) Close();
    return;
  }
  input_.commit(bytes);
  if (phase_ == Phase::kLingering) input_.clear();
  Feed();
  Read();
}

void Connection::Feed() {
  while (input_.size() > 0) {
    if (phase_ == Phase::kIdle) EnterPhase(Phase::kHead);
    if (phase_ != Phase::kHead && phase_ != Phase::kBody) return;
    error_code error;
    const size_t used = parser_->put(input_.data(), error);
    input_.consume(used);
    if (error && error != http::error::need_more) return Refuse(ParserError(error));
    if (phase_ == Phase::kHead && parser_->is_header_done() && !OnHead()) return;
    if (parser_->is_done()) return OnRequest();
    if (error == http::error::need_more && used == 0) break;
  }
  if (input_.size() >= HttpLimits::kMaxPipelinedBytes) {
    Refuse(ProtocolError(400, "a line of the chunked body is too long"));
  }
}

std::optional<ApiError> Connection::WhyNot() {
  const auto& head = parser_->get();
  if (PathOf(ToString(head.target())) == kHealthPath) return std::nullopt;
  const std::string shown = ToString(head[http::field::authorization]);
  const ApiKeyFile::Access access = server_.keys.Check(shown);
  if (access == ApiKeyFile::Access::kGranted) return std::nullopt;
  if (access == ApiKeyFile::Access::kRefused || !server_.local) return WrongApiKey(!shown.empty());
  const std::string host = ToString(head[http::field::host]);
  const std::string origin = ToString(head[http::field::origin]);
  if (IsLocalCaller(host, origin)) return std::nullopt;
  return NotLocal(origin.empty() ? host : origin);
}

bool Connection::OnHead() {
  const auto& head = parser_->get();
  if (const std::optional<ApiError> why = WhyNot()) {  // before there is room for its body
    Refuse(*why);
    return false;
  }
  EnterPhase(Phase::kBody);
  if (!parser_->is_done() && head.version() >= 11 &&
      boost::beast::iequals(head[http::field::expect], "100-continue")) {
    Send("HTTP/1.1 100 Continue\r\n\r\n");
  }
  return true;
}

void Connection::OnRequest() {
  const auto& parsed = parser_->get();
  mode_.keep_alive = parser_->keep_alive();
  mode_.head_only = parsed.method() == http::verb::head;
  mode_.chunked = parsed.version() >= 11;
  mode_.unix_s = std::time(nullptr);
  HttpRequest request;
  request.method = ToString(parsed.method_string());
  request.target = ToString(parsed.target());
  request.body = std::move(parser_->get().body());
  EnterPhase(Phase::kAnswering);
  exchange_ = Dispatch(server_, std::move(request), *this);
}

void Connection::Refuse(const ApiError& error) {
  mode_ = ReplyMode{};
  mode_.unix_s = std::time(nullptr);
  mode_.keep_alive = false;
  mode_.head_only = parser_->is_header_done() && parser_->get().method() == http::verb::head;
  Reply(ErrorReply(error));
}

// ---- Replying ----

void Connection::Reply(const HttpReply& reply) {
  Send(EncodeReply(reply, mode_));
  FinishReply();
}

void Connection::BeginStream() {
  if (!mode_.chunked) mode_.keep_alive = false;
  Send(EncodeStreamHead(mode_));
}

void Connection::SendEvent(std::string_view data) { Send(EncodeEvent(data, mode_)); }

void Connection::SendComment(std::string_view text) { Send(EncodeComment(text, mode_)); }

void Connection::EndStream(bool after_error) {
  if (after_error) mode_.keep_alive = false;
  Send(EncodeStreamEnd(mode_));
  FinishReply();
}

void Connection::FinishReply() {
  if (phase_ == Phase::kClosed) return;
  exchange_.reset();
  EnterPhase(Phase::kDraining);
  if (writing_.empty()) {
    asio::post(server_.io, [self = shared_from_this()] { self->OnDrained(); });
  }
}

void Connection::Send(const std::string& bytes) {
  if (phase_ == Phase::kClosed) return;
  unsent_ += bytes;
  if (writing_.empty()) return Write();
  if (phase_ == Phase::kAnswering && unsent_.size() > HttpLimits::kMaxUnsentBytes) {
    asio::post(server_.io, [self = shared_from_this()] { self->Close(); });
  }
}

void Connection::Write() {
  if (written_ == writing_.size()) {
    writing_ = std::exchange(unsent_, std::string());
    written_ = 0;
    if (writing_.empty()) return;
  }
  write_timer_.expires_after(server_.options.timeouts.write);
  write_timer_.async_wait([self = shared_from_this()](error_code error) {
    if (error || self->writing_.empty()) return;
    if (self->write_timer_.expiry() <= asio::steady_timer::clock_type::now()) self->Close();
  });
  stream_.WriteSome(asio::buffer(writing_.data() + written_, writing_.size() - written_),
                    [self = shared_from_this()](error_code error, size_t bytes) {
                      self->OnWritten(error, bytes);
                    });
}

void Connection::OnWritten(error_code error, size_t bytes) {
  if (phase_ == Phase::kClosed) return;
  write_timer_.cancel();
  if (error) return Close();
  written_ += bytes;
  Write();
  if (writing_.empty()) OnDrained();
}

void Connection::OnDrained() {
  if (phase_ != Phase::kDraining || !writing_.empty()) return;
  if (peer_closed_) return Close();
  if (mode_.keep_alive) return NextRequest();
  stream_.EndWriting(shared_from_this());
  input_.clear();
  EnterPhase(Phase::kLingering);
  Read();
}

}  // namespace shoal
