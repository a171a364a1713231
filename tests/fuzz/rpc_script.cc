#include "tests/fuzz/rpc_script.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"

namespace shoal {

namespace {

class Reader {
 public:
  Reader(const uint8_t* data, size_t size) : data_(data), left_(size) {}

  bool empty() const { return left_ == 0; }
  uint8_t Byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  std::string Bytes(size_t count) {
    const size_t taken = std::min(count, left_);
    std::string bytes(reinterpret_cast<const char*>(data_), taken);
    data_ += taken;
    left_ -= taken;
    return bytes;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

// gRPC's client takes no other keys, and in values of keys without "-bin" only printable ASCII.
std::pair<std::string, std::string> HeaderFrom(const std::string& bytes) {
  constexpr std::string_view kKeyChars = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
  const size_t half = bytes.size() / 2;
  std::string key = "x";
  for (const char c : bytes.substr(0, half)) {
    key += kKeyChars[static_cast<uint8_t>(c) % kKeyChars.size()];
  }
  std::string value = bytes.substr(half);
  if (!key.ends_with("-bin")) {
    for (char& c : value) c = static_cast<char>(' ' + static_cast<uint8_t>(c) % 95);
  }
  return {key, value};
}

}  // namespace

std::vector<ScriptedCall> ReadScript(const uint8_t* data, size_t size) {
  Reader reader(data, size);
  std::vector<ScriptedCall> calls;
  while (!reader.empty() && calls.size() < kMaxScriptedCalls) {
    ScriptedCall& call = calls.emplace_back();
    call.method = reader.Byte();
    const uint8_t flags = reader.Byte();
    call.in_good_faith = (flags & 1) != 0;
    if ((flags & 2) != 0) call.header = HeaderFrom(reader.Bytes(reader.Byte()));
    for (int i = flags >> 2 & 7; i > 0; --i) {
      const size_t low = reader.Byte();
      call.messages.push_back(reader.Bytes(low | size_t{reader.Byte()} << 8));
    }
  }
  return calls;
}

RawCaller::~RawCaller() {
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
  }
}

// Of the one operation that was begun.
bool RawCaller::Done() {
  void* tag = nullptr;
  bool ok = false;
  CHECK(queue_.Next(&tag, &ok), "an operation is under way");
  return ok;
}

grpc::Status RawCaller::Call(const std::string& method, const ScriptedCall& call, int timeout_ms,
                             std::string* reply) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(timeout_ms));
  if (call.header) context.AddMetadata(call.header->first, call.header->second);
  const auto stream = stub_.PrepareCall(&context, method, &queue_);
  stream->StartCall(nullptr);
  bool open = Done();
  for (size_t i = 0; open && i < call.messages.size(); ++i) {
    const grpc::Slice slice(call.messages[i]);
    stream->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    open = Done();
  }
  if (open) {
    stream->WritesDone(nullptr);
    open = Done();
  }
  grpc::ByteBuffer message;
  while (open) {
    stream->Read(&message, nullptr);
    open = Done();
    if (!open || reply == nullptr) continue;
    grpc::Slice whole;
    if (message.DumpToSingleSlice(&whole).ok()) {
      reply->assign(reinterpret_cast<const char*>(whole.begin()), whole.size());
    }
  }
  grpc::Status status;
  stream->Finish(&status, nullptr);
  Done();
  return status;
}

}  // namespace shoal
