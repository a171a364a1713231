#include "tests/coordinator/http_test_client.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

namespace shoal {

namespace {

constexpr int kDeadlineMs = 30'000;

}  // namespace

std::vector<std::string> HttpTestReply::Events() const {
  constexpr std::string_view kMark = "data: ";
  std::vector<std::string> events;
  for (size_t begin = 0; begin < body.size();) {
    const size_t end = body.find("\n\n", begin);
    if (end == std::string::npos) break;
    const std::string line = body.substr(begin, end - begin);
    if (line.starts_with(kMark)) events.push_back(line.substr(kMark.size()));
    begin = end + 2;
  }
  return events;
}

HttpTestClient::HttpTestClient(uint16_t port, int receive_buffer_bytes) {
  socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer_bytes > 0) {
    setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(receive_buffer_bytes));
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    ADD_FAILURE() << "cannot connect to port " << port;
  }
}

HttpTestClient::~HttpTestClient() { Close(); }

void HttpTestClient::Close() {
  if (socket_ >= 0) close(socket_);
  socket_ = -1;
}

bool HttpTestClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

void HttpTestClient::SendRequest(std::string_view method, std::string_view target,
                                 std::string_view body) {
  Send(fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}", method,
                   target, body.size(), body));
}

bool HttpTestClient::ReadSome() {
  pollfd waiting{socket_, POLLIN, 0};
  if (poll(&waiting, 1, kDeadlineMs) != 1) {
    ADD_FAILURE() << "nothing came in " << kDeadlineMs << " ms";
    return false;
  }
  char buffer[16 << 10];
  const ssize_t got = recv(socket_, buffer, sizeof(buffer), 0);
  if (got <= 0) return false;
  unread_.append(buffer, static_cast<size_t>(got));
  return true;
}

HttpTestReply HttpTestClient::ReadReply(bool to_head) {
  namespace http = boost::beast::http;
  http::response_parser<http::string_body> parser;
  parser.eager(true);
  parser.skip(to_head);
  parser.body_limit(boost::none);
  boost::system::error_code error;
  while (!parser.is_done()) {
    if (unread_.empty() && !ReadSome()) {
      parser.put_eof(error);
      break;
    }
    const size_t used = parser.put(boost::asio::buffer(unread_), error);
    unread_.erase(0, used);
    if (error == http::error::need_more && used == 0 && !ReadSome()) parser.put_eof(error);
    if (error && error != http::error::need_more) break;
  }
  HttpTestReply reply;
  if (!parser.is_done()) return reply;
  reply.status = parser.get().result_int();
  for (const auto& field : parser.get()) {
    std::string name(field.name_string().data(), field.name_string().size());
    std::transform(name.begin(), name.end(), name.begin(), ::tolower);
    reply.headers[name] = std::string(field.value().data(), field.value().size());
  }
  reply.body = parser.get().body();
  return reply;
}

HttpTestReply HttpTestClient::Request(std::string_view method, std::string_view target,
                                      std::string_view body) {
  SendRequest(method, target, body);
  return ReadReply(method == "HEAD");
}

const std::string& HttpTestClient::ReadUntil(std::string_view text) {
  while (unread_.find(text) == std::string::npos) {
    if (!ReadSome()) {
      ADD_FAILURE() << "no '" << text << "' came, only: " << unread_;
      break;
    }
  }
  return unread_;
}

bool HttpTestClient::ClosedByServer() {
  while (ReadSome()) {
  }
  return !testing::Test::HasFailure();
}

}  // namespace shoal
