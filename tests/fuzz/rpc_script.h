// Input of a fuzz target as calls of gRPC methods, and a client that makes them as written:
// whatever the method, any headers and any bytes as messages.
//
//   call    := method:u8 flags:u8 [header] messages
//   flags   := bit 0: each message that is one gets what a peer in good faith would have filled in
//              bit 1: a header comes; bits 2 to 4: how many messages come
//   header  := length:u8 bytes      the first half is the key, the second the value
//   message := length:u16 bytes     little endian; the last one may be cut short
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace shoal {

struct ScriptedCall {
  uint8_t method = 0;
  bool in_good_faith = false;
  std::optional<std::pair<std::string, std::string>> header;
  std::vector<std::string> messages;
};

constexpr size_t kMaxScriptedCalls = 8;

std::vector<ScriptedCall> ReadScript(const uint8_t* data, size_t size);

// Thread rule: belongs to one thread.
class RawCaller {
 public:
  explicit RawCaller(const std::shared_ptr<grpc::Channel>& channel) : stub_(channel) {}
  ~RawCaller();

  // Sends all messages, ends its side, reads whatever comes, for `timeout_ms` at most. `method` is
  // "/package.Service/Method". `reply`, if wanted, gets the last message.
  grpc::Status Call(const std::string& method, const ScriptedCall& call, int timeout_ms,
                    std::string* reply = nullptr);

 private:
  bool Done();

  grpc::GenericStub stub_;
  grpc::CompletionQueue queue_;
};

// `message` with `fill(parsed)` applied, if it is one of type Message; else as it is.
template <typename Message, typename Fill>
std::string Filled(const std::string& message, Fill fill) {
  Message parsed;
  if (!parsed.ParseFromString(message)) return message;
  fill(parsed);
  return parsed.SerializeAsString();
}

}  // namespace shoal
