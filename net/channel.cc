#include "net/channel.h"

#include <absl/synchronization/mutex.h>
#include <grpc/grpc.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <cstdlib>

#include "base/check.h"

namespace shoal {

namespace {

constexpr int kKeepaliveMs = 5000;
constexpr int kHandshakeMs = 5000;  // of TLS: a peer that says nothing holds no connection
constexpr int kIdleMs = 60'000;     // and neither does one that calls nothing
// A step is written without waiting for the peer to have read the one before it.
constexpr int kStreamWindowBytes = 4 << 20;

template <typename Arguments>
void SetCommon(Arguments set) {
  set(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  set(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveMs);
  set(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 0);
  set(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  set(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
  set(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, kMaxMessageBytes);
  set(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, kMaxMessageBytes);
}

}  // namespace

std::string BuildId() { return SHOAL_BUILD_ID; }

void PrepareGrpc() {
  // Our own messages say what failed; gRPC's would come before them, in its own words.
  ::setenv("GRPC_VERBOSITY", "NONE", 0);
  // Debian's Abseil looks for deadlock cycles at every lock that gRPC takes.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

void LeaveGrpcRunning() { ::grpc_init(); }

Status CheckDiallable(const Address& address, const Trust& trust) {
  if (address.is_unix() || trust.own != nullptr) return OkStatus();
  return FailedPrecondition(address.ToString() +
                            ": this process has no certificate of a mesh to dial it with");
}

std::shared_ptr<grpc::Channel> MakeChannel(const Address& address, const Trust& trust) {
  CHECK(address.is_unix() || trust.own != nullptr, "a channel over the network has credentials");
  grpc::ChannelArguments arguments;
  SetCommon([&](const char* name, int value) { arguments.SetInt(name, value); });
  // A node that comes back is dialled at once rather than after gRPC's own back-off.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (trust.own == nullptr) {
    return grpc::CreateCustomChannel(address.ToString(), grpc::InsecureChannelCredentials(),
                                     arguments);
  }
  arguments.SetSslTargetNameOverride(trust.ExpectedName());
  return grpc::CreateCustomChannel(address.ToString(), trust.own->ForDialling(), arguments);
}

void ConfigureServer(grpc::ServerBuilder& builder, const Address& address,
                     const std::shared_ptr<grpc::ServerCredentials>& credentials, int* bound_port) {
  CHECK(address.is_unix() || credentials != nullptr, "a server on the network has credentials");
  SetCommon([&](const char* name, int value) { builder.AddChannelArgument(name, value); });
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleMs);
  builder.AddListeningPort(address.ToString(),
                           credentials == nullptr ? grpc::InsecureServerCredentials() : credentials,
                           bound_port);
}

// "ipv4:1.2.3.4:5678" or "ipv6:%5B::1%5D:5678" (RFC 3986's escapes) -> the host.
std::string HostOfPeer(const std::string& peer) {
  const size_t begin = peer.find(':') + 1;
  std::string host = peer.substr(begin, peer.rfind(':') - begin);
  for (const auto& [escape, plain] :
       {std::pair{"%5B", ""}, {"%5D", ""}, {"[", ""}, {"]", ""}, {"%25", "%"}}) {
    if (const size_t at = host.find(escape); at != std::string::npos) {
      host.replace(at, std::string_view(escape).size(), plain);
    }
  }
  constexpr std::string_view kMapped = "::ffff:";
  return host.starts_with(kMapped) ? host.substr(kMapped.size()) : host;
}

grpc::Status ToGrpcStatus(const Error& error) {
  switch (error.code) {
    case ErrorCode::kInvalidArgument: return {grpc::INVALID_ARGUMENT, error.message};
    case ErrorCode::kNotFound: return {grpc::NOT_FOUND, error.message};
    case ErrorCode::kFailedPrecondition: return {grpc::FAILED_PRECONDITION, error.message};
    case ErrorCode::kResourceExhausted: return {grpc::RESOURCE_EXHAUSTED, error.message};
    case ErrorCode::kUnimplemented: return {grpc::UNIMPLEMENTED, error.message};
    case ErrorCode::kUnavailable: return {grpc::UNAVAILABLE, error.message};
    case ErrorCode::kDeadlineExceeded: return {grpc::DEADLINE_EXCEEDED, error.message};
    case ErrorCode::kCancelled: return {grpc::CANCELLED, error.message};
    case ErrorCode::kDataLoss: return {grpc::DATA_LOSS, error.message};
    case ErrorCode::kInternal: return {grpc::INTERNAL, error.message};
  }
  return {grpc::INTERNAL, error.message};
}

grpc::Status AsGrpc(const Status& status) {
  return status.ok() ? grpc::Status::OK : ToGrpcStatus(status.error());
}

Error FromGrpcStatus(const grpc::Status& status, const std::string& peer) {
  ErrorCode code = ErrorCode::kInternal;
  switch (status.error_code()) {
    case grpc::INVALID_ARGUMENT: code = ErrorCode::kInvalidArgument; break;
    case grpc::NOT_FOUND: code = ErrorCode::kNotFound; break;
    case grpc::FAILED_PRECONDITION: code = ErrorCode::kFailedPrecondition; break;
    case grpc::RESOURCE_EXHAUSTED: code = ErrorCode::kResourceExhausted; break;
    case grpc::UNIMPLEMENTED: code = ErrorCode::kUnimplemented; break;
    case grpc::UNAVAILABLE: code = ErrorCode::kUnavailable; break;
    case grpc::DEADLINE_EXCEEDED: code = ErrorCode::kDeadlineExceeded; break;
    case grpc::CANCELLED: code = ErrorCode::kCancelled; break;
    case grpc::DATA_LOSS: code = ErrorCode::kDataLoss; break;
    case grpc::UNAUTHENTICATED:
    case grpc::PERMISSION_DENIED: code = ErrorCode::kFailedPrecondition; break;
    default: break;
  }
  const std::string text = status.ok() ? "closed the connection" : status.error_message();
  if (status.ok()) code = ErrorCode::kUnavailable;
  return {code, peer + ": " + text};
}

}  // namespace shoal
