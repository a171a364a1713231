// A blocking HTTP client for tests, on a plain socket: sends any bytes, reads replies whole or bit
// by bit. Every wait has a deadline and ends in a test failure.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace shoal {

struct HttpTestReply {
  int status = 0;                              // 0: none came whole
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // chunks joined
  nlohmann::ordered_json Json() const {
    return nlohmann::ordered_json::parse(body, nullptr, false);
  }
  // The data of the events of a stream.
  std::vector<std::string> Events() const;
};

class HttpTestClient {
 public:
  // `receive_buffer_bytes` > 0 makes a client that soon stops the sender.
  explicit HttpTestClient(uint16_t port, int receive_buffer_bytes = 0);
  ~HttpTestClient();
  HttpTestClient(const HttpTestClient&) = delete;
  HttpTestClient& operator=(const HttpTestClient&) = delete;

  // False if the server closed meanwhile.
  bool Send(std::string_view bytes);
  void SendRequest(std::string_view method, std::string_view target, std::string_view body = "");
  HttpTestReply ReadReply(bool to_head = false);
  HttpTestReply Request(std::string_view method, std::string_view target,
                        std::string_view body = "");
  // Reads until `text` has come and returns all bytes so far, which stay unread for ReadReply.
  const std::string& ReadUntil(std::string_view text);
  // Reads on; true if the server closes (and says nothing more than `unread`).
  bool ClosedByServer();
  void Close();

 private:
  // False at the end of the connection or the deadline.
  bool ReadSome();

  int socket_ = -1;
  std::string unread_;
};

}  // namespace shoal
