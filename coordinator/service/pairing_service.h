// The coordinator's end of proto/pairing.proto: lets devices in, renews their certificates, and
// knows which nodes are here.
//
// Thread rule: gRPC calls the handlers on its own threads; the rest is safe from any.
#pragma once

#include <grpcpp/server_context.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "coordinator/service/mesh_authority.h"
#include "proto/pairing.grpc.pb.h"

namespace shoal {

constexpr int kPongMs = 1000;  // for a node to prove that it is alive when another one has its id

class PairingService final : public v1::Pairing::Service {
 public:
  using AttendStream = grpc::ServerReaderWriter<v1::CoordinatorWord, v1::NodeWord>;

  // `authority` outlives it. `unix_now_s` is the wall clock. `on_arrival(member)` is called when a
  // node has said where it is.
  PairingService(MeshAuthority& authority, std::function<int64_t()> unix_now_s,
                 std::function<void(const Member&)> on_arrival);

  grpc::Status Join(grpc::ServerContext* context, const v1::JoinRequest* request,
                    v1::JoinReply* reply) override;
  grpc::Status Renew(grpc::ServerContext* context, const v1::RenewRequest* request,
                     v1::RenewReply* reply) override;
  grpc::Status Attend(grpc::ServerContext* context, AttendStream* stream) override;

  // Tells every node that is here who is revoked, and ends the streams of those.
  void AnnounceRevoked();
  // Ends all streams.
  void Shutdown();

 private:
  struct Attendee;
  Result<v1::JoinReply> Admit(const v1::JoinRequest& request, const std::string& source);
  Result<Member> MemberFor(Roster& roster, const v1::JoinRequest& request,
                           const Sha256Digest& proof, int64_t now_s) const;
  Status Enter(const std::shared_ptr<Attendee>& attendee);
  void Leave(const Attendee& attendee);
  bool AnswersPing(Attendee& attendee, std::unique_lock<std::mutex>& lock);
  v1::CoordinatorWord RevokedWord() const;

  MeshAuthority& authority_;
  const std::function<int64_t()> unix_now_s_;
  const std::function<void(const Member&)> on_arrival_;

  std::mutex mutex_;  // guards all below, and what Attendee says
  std::condition_variable changed_;
  TryLimiter limiter_;
  // By node id; shared with the handler of its stream.
  std::map<std::string, std::shared_ptr<Attendee>> present_;
  bool stopped_ = false;
};

}  // namespace shoal
