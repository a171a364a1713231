// A client's byte stream: a TCP socket, encrypted or not.
//
// Thread rule: all on the server's I/O thread. One read and one write may be pending. What a call
// completes with, its handler, owns the stream or something that does.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <functional>
#include <memory>
#include <optional>

namespace shoal {

class ClientStream {
 public:
  using Done = std::function<void(boost::system::error_code, size_t bytes)>;

  // `tls` null: not encrypted.
  ClientStream(boost::asio::ip::tcp::socket socket, boost::asio::ssl::context* tls);

  bool encrypted() const { return tls_.has_value(); }
  boost::asio::ip::tcp::socket& socket() { return tls_ ? tls_->next_layer() : *plain_; }

  // Before anything else, if encrypted.
  void Handshake(std::function<void(boost::system::error_code)> done);
  void ReadSome(boost::asio::mutable_buffer into, Done done);
  void WriteSome(boost::asio::const_buffer bytes, Done done);
  // Tells the client that nothing more comes. What is read from now on is whatever it still sends,
  // undecoded. `owner` keeps the stream alive.
  void EndWriting(std::shared_ptr<void> owner);

 private:
  std::optional<boost::asio::ip::tcp::socket> plain_;
  std::optional<boost::asio::ssl::stream<boost::asio::ip::tcp::socket>> tls_;
  bool ended_ = false;  // EndWriting was called
};

}  // namespace shoal
