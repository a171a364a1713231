#include "coordinator/api/client_stream.h"

#include <utility>

namespace shoal {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

ClientStream::ClientStream(tcp::socket socket, asio::ssl::context* tls) {
  if (tls != nullptr) {
    tls_.emplace(std::move(socket), *tls);
  } else {
    plain_.emplace(std::move(socket));
  }
}

void ClientStream::Handshake(std::function<void(error_code)> done) {
  tls_->async_handshake(asio::ssl::stream_base::server, std::move(done));
}

void ClientStream::ReadSome(asio::mutable_buffer into, Done done) {
  if (!tls_ || ended_) return socket().async_read_some(into, std::move(done));
  tls_->async_read_some(into, [this, done = std::move(done)](error_code error, size_t bytes) {
    // Past the end it is only drained; the next read, of plain bytes, tells of a broken socket.
    if (error && ended_) return done(error_code(), 0);
    done(error, bytes);
  });
}

void ClientStream::WriteSome(asio::const_buffer bytes, Done done) {
  if (tls_) return tls_->async_write_some(bytes, std::move(done));
  plain_->async_write_some(bytes, std::move(done));
}

void ClientStream::EndWriting(std::shared_ptr<void> owner) {
  ended_ = true;
  const auto shut_down = [this, owner = std::move(owner)](error_code) {
    error_code ignored;
    socket().shutdown(tcp::socket::shutdown_send, ignored);
  };
  if (tls_) return tls_->async_shutdown(shut_down);
  shut_down(error_code());
}

}  // namespace shoal
