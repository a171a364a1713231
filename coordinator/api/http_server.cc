#include "coordinator/api/http_server.h"

#include <fmt/format.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <exception>
#include <map>
#include <thread>
#include <utility>

#include "base/log.h"
#include "coordinator/api/api_keys.h"
#include "coordinator/api/connection.h"
#include "coordinator/api/exchange.h"
#include "coordinator/api/tls_files.h"

namespace shoal {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

class HttpServer::Impl {
 public:
  Impl(const HttpServerOptions& options, Engine& engine, const TextModel& text)
      : options_(options), keys_(options_.api_keys_path), context_{options_,      engine,   text,
                                                                   io_,           workers_, keys_,
                                                                   /*local=*/true} {}
  ~Impl();

  Status Listen();
  void Run();
  uint16_t port() const { return port_; }

 private:
  static constexpr int kWorkers = 2;
  static constexpr std::chrono::milliseconds kAcceptRetry{100};

  void IoThreadMain();
  void Accept();
  void OnAccept(error_code error, tcp::socket socket);
  void TurnAway(tcp::socket socket);
  void OnClosed(Connection* connection);

  const HttpServerOptions options_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  asio::thread_pool workers_{kWorkers};
  ApiKeyFile keys_;
  ServerContext context_;
  std::unique_ptr<asio::ssl::context> tls_;  // null: plain HTTP
  tcp::acceptor acceptor_{io_};
  asio::steady_timer accept_timer_{io_};
  asio::steady_timer stop_timer_{io_};
  uint16_t port_ = 0;
  // On the I/O thread. Second owners: the connections' own pending handlers.
  std::map<Connection*, std::shared_ptr<Connection>> connections_;
  bool stopping_ = false;
  std::thread io_thread_;
};

Status HttpServer::Impl::Listen() {
  const std::string where = fmt::format("HTTP address {}:{}", options_.host, options_.port);
  const auto failed = [&](std::string_view what, const error_code& error) {
    return Unavailable(fmt::format("{}: cannot {}: {}", where, what, error.message()));
  };
  error_code error;
  const asio::ip::address address =
      asio::ip::make_address(options_.host == "localhost" ? "127.0.0.1" : options_.host, error);
  if (error) return InvalidArgument(fmt::format("{}: this is no IP address", where));
  if (options_.tls) {
    ASSIGN_OR_RETURN(tls_, LoadTls(*options_.tls));
  }
  context_.local = address.is_loopback();
  const tcp::endpoint endpoint(address, options_.port);
  acceptor_.open(endpoint.protocol(), error);
  if (error) return failed("open a socket", error);
  acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (error) return failed("set an option", error);
  acceptor_.bind(endpoint, error);
  if (error) return failed("bind", error);
  acceptor_.listen(tcp::acceptor::max_listen_connections, error);
  if (error) return failed("listen", error);
  const tcp::endpoint bound = acceptor_.local_endpoint(error);
  if (error) return failed("tell the port", error);
  port_ = bound.port();
  return OkStatus();
}

void HttpServer::Impl::Run() {
  Accept();
  io_thread_ = std::thread([this] { IoThreadMain(); });
}

HttpServer::Impl::~Impl() {
  if (!io_thread_.joinable()) return;
  asio::post(io_, [this] {
    error_code ignored;
    acceptor_.close(ignored);
    accept_timer_.cancel();
    stopping_ = true;
    for (const auto& [connection, owner] : std::map(connections_)) connection->Finish();
    stop_timer_.expires_after(options_.timeouts.shutdown);
    stop_timer_.async_wait([this](error_code) {
      while (!connections_.empty()) connections_.begin()->second->Close();
    });
    if (connections_.empty()) stop_timer_.cancel();
  });
  workers_.join();
  work_.reset();
  io_thread_.join();
}

void HttpServer::Impl::IoThreadMain() {
  for (;;) {
    try {
      io_.run();
      return;
    } catch (const std::exception& exception) {  // Asio's, or out of memory
      spdlog::error("HTTP server: {}", exception.what());
    }
  }
}

void HttpServer::Impl::Accept() {
  acceptor_.async_accept(
      [this](error_code error, tcp::socket socket) { OnAccept(error, std::move(socket)); });
}

void HttpServer::Impl::OnAccept(error_code error, tcp::socket socket) {
  if (!acceptor_.is_open()) return;
  if (error) {  // out of file descriptors, most likely
    spdlog::warn("HTTP server: cannot accept: {}", error.message());
    accept_timer_.expires_after(kAcceptRetry);
    accept_timer_.async_wait([this](error_code cancelled) {
      if (!cancelled) Accept();
    });
    return;
  }
  if (connections_.size() >= HttpLimits::kMaxConnections) {
    TurnAway(std::move(socket));
  } else {
    const auto connection =
        std::make_shared<Connection>(ClientStream(std::move(socket), tls_.get()), context_,
                                     [this](Connection* closed) { OnClosed(closed); });
    connections_.emplace(connection.get(), connection);
    connection->Open();
  }
  Accept();
}

void HttpServer::Impl::OnClosed(Connection* connection) {
  connections_.erase(connection);
  if (stopping_ && connections_.empty()) stop_timer_.cancel();
}

void HttpServer::Impl::TurnAway(tcp::socket socket) {
  ReplyMode mode;
  mode.keep_alive = false;
  const std::string reply = EncodeReply(
      ErrorReply(NotReady(fmt::format("there are {} connections already", connections_.size()))),
      mode);
  error_code ignored;
  if (tls_) return;  // a handshake is what there is no room for
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(reply), ignored);
  socket.shutdown(tcp::socket::shutdown_both, ignored);
}

Result<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpServerOptions& options,
                                                      Engine& engine, const TextModel& text) {
  auto impl = std::make_unique<Impl>(options, engine, text);
  RETURN_IF_ERROR(impl->Listen());
  impl->Run();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;
uint16_t HttpServer::port() const { return impl_->port(); }

}  // namespace shoal
