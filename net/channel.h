// The one place where gRPC channels and servers get their settings, so that both sides agree.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/status.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/address.h"
#include "net/identity/credentials.h"

namespace shoal {

constexpr uint32_t kProtocolVersion = 1;
// A step of StepLimits::kMaxTokens activations 16,384 wide is 64 MiB.
constexpr int kMaxMessageBytes = (64 << 20) + (1 << 20);
constexpr int kHeartbeatMs = 250;
constexpr int kCallTimeoutMs = 5000;  // of a call that should take no time

// What this build is, for handshakes: two builds that differ refuse each other.
std::string BuildId();

// What holds for all of gRPC in this process; called before anything else of it.
void PrepareGrpc();

// From now on the process ends without gRPC's own end, which may take it 10 s: gRPC 1.51 waits
// there for a poller of its own that nothing wakes. Starts threads of gRPC's: called once the
// signals that the process waits for are blocked.
void LeaveGrpcRunning();

// Whether `trust` can dial `address`: the network takes credentials.
Status CheckDiallable(const Address& address, const Trust& trust);

// TLS if `trust` has credentials. REQUIRES CheckDiallable.
std::shared_ptr<grpc::Channel> MakeChannel(const Address& address, const Trust& trust);

// Settings and port; `bound_port` is written when the server starts. Without `credentials` the
// server speaks plain text: REQUIRES a Unix socket then.
void ConfigureServer(grpc::ServerBuilder& builder, const Address& address,
                     const std::shared_ptr<grpc::ServerCredentials>& credentials, int* bound_port);

// The host in gRPC's name of a peer on the network, without brackets.
std::string HostOfPeer(const std::string& peer);

// Between our errors and gRPC's, both ways; `peer` names the other side in the message.
grpc::Status ToGrpcStatus(const Error& error);
grpc::Status AsGrpc(const Status& status);  // OK as OK
Error FromGrpcStatus(const grpc::Status& status, const std::string& peer);

}  // namespace shoal
