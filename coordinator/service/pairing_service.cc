#include "coordinator/service/pairing_service.h"

#include <fmt/format.h>
#include <grpc/grpc_security_constants.h>

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "net/channel.h"
#include "net/deadline_guard.h"
#include "net/first_message.h"
#include "net/identity/x509.h"

namespace shoal {

namespace {

// Where a node listens, as others can dial it.
Result<Address> ReachableAddress(const std::string& listen, const std::string& id,
                                 const std::string& source) {
  ASSIGN_OR_RETURN(Address address, ParseAddress(listen));
  if (address.is_relay() && address.relay_node == id) return address;
  if (address.is_unix() || address.port == 0) {
    return InvalidArgument(fmt::format("a node listens on HOST:PORT, not on {}", listen));
  }
  if (address.host == "0.0.0.0" || address.host == "::") address.host = source;
  return address;
}

}  // namespace

struct PairingService::Attendee {
  // False if the node is gone, or does not read.
  bool Send(const v1::CoordinatorWord& word) {
    const DeadlineGuard guard(kPongMs, [this] { context->TryCancel(); });
    return stream->Write(word);
  }

  std::string id;
  uint64_t instance = 0;
  Address address;
  grpc::ServerContext* context = nullptr;  // valid while it is in present_
  AttendStream* stream = nullptr;          // likewise; written to with mutex_ held
  uint64_t last_ping = 0;
  uint64_t last_pong = 0;
};

PairingService::PairingService(MeshAuthority& authority, std::function<int64_t()> unix_now_s,
                               std::function<void(const Member&)> on_arrival)
    : authority_(authority),
      unix_now_s_(std::move(unix_now_s)),
      on_arrival_(std::move(on_arrival)) {}

grpc::Status PairingService::Join(grpc::ServerContext* context, const v1::JoinRequest* request,
                                  v1::JoinReply* reply) {
  const std::string source = HostOfPeer(context->peer());
  Result<v1::JoinReply> admitted = Admit(*request, source);
  if (!admitted.ok()) {
    spdlog::warn("{} was not let into the mesh: {}", source, admitted.error().message);
    return ToGrpcStatus(admitted.error());
  }
  *reply = std::move(*admitted);
  return grpc::Status::OK;
}

// The new member of `roster`; if the device asks again, the one that it is. Errors: as
// PairingDesk::Redeem; the mesh is full; the device was revoked since.
Result<Member> PairingService::MemberFor(Roster& roster, const v1::JoinRequest& request,
                                         const Sha256Digest& proof, int64_t now_s) const {
  const auto proves = [&](const PairingSecret& secret) {
    return SameProof(proof, PairingProof(secret, request.public_key(), authority_.fingerprint()));
  };
  Member member;
  member.id = MakeMemberId();
  member.name = roster.FreeName(request.name());
  member.joined_unix_s = now_s;
  ASSIGN_OR_RETURN(const std::string id,
                   roster.desk.Redeem(proves, request.public_key(), member.id, now_s));
  if (id == member.id) {
    RETURN_IF_ERROR(roster.Add(member));
    return member;
  }
  const Member* before = roster.Find(id);
  if (before == nullptr || before->id != id) {  // another one may be called so
    return FailedPrecondition("the device that used this pairing code was revoked");
  }
  return *before;
}

Result<v1::JoinReply> PairingService::Admit(const v1::JoinRequest& request,
                                            const std::string& source) {
  Sha256Digest proof{};
  if (request.proof().size() != proof.size()) {
    return InvalidArgument(
        fmt::format("a proof of {} bytes, expected {}", request.proof().size(), proof.size()));
  }
  std::copy(request.proof().begin(), request.proof().end(), proof.begin());
  const int64_t now_s = unix_now_s_();
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(limiter_.MayTry(source, now_s));
  Member member;
  v1::JoinReply reply;
  bool guessed = false;
  const Status admitted = authority_.roster().Change([&](Roster& roster) -> Status {
    Result<Member> taken = MemberFor(roster, request, proof, now_s);
    guessed = !taken.ok() && taken.error().code == ErrorCode::kNotFound;
    ASSIGN_OR_RETURN(member, std::move(taken));
    ASSIGN_OR_RETURN(*reply.mutable_certificate(),
                     authority_.IssueTo(member.id, request.public_key(), now_s));
    return OkStatus();
  });
  if (guessed) limiter_.Failed(source, now_s);
  if (!admitted.ok()) return admitted.error();
  spdlog::info("node {} joined from {}", member.name, source);
  reply.set_name(member.name);
  return reply;
}

grpc::Status PairingService::Renew(grpc::ServerContext* context, const v1::RenewRequest*,
                                   v1::RenewReply* reply) {
  const std::optional<PeerIdentity> peer = PeerOf(*context->auth_context());
  const std::vector<grpc::string_ref> shown =
      context->auth_context()->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (!peer || shown.size() != 1) return {grpc::UNAUTHENTICATED, "no certificate was shown"};
  const Result<CertificateFacts> facts =
      ReadCertificate(std::string(shown[0].data(), shown[0].size()));
  if (!facts.ok()) return ToGrpcStatus(facts.error());
  Result<std::string> certificate = authority_.IssueTo(peer->id, facts->public_key, unix_now_s_());
  if (!certificate.ok()) return ToGrpcStatus(certificate.error());
  reply->set_certificate(std::move(*certificate));
  return grpc::Status::OK;
}

v1::CoordinatorWord PairingService::RevokedWord() const {
  v1::CoordinatorWord word;
  for (const std::string& id : authority_.credentials()->revoked()) word.add_revoked(id);
  return word;
}

// REQUIRES mutex_ to be held by `lock`, which is given up while waiting.
bool PairingService::AnswersPing(Attendee& attendee, std::unique_lock<std::mutex>& lock) {
  const uint64_t ping = ++attendee.last_ping;
  v1::CoordinatorWord word = RevokedWord();
  word.set_ping(ping);
  if (!attendee.Send(word)) return false;
  changed_.wait_for(lock, std::chrono::milliseconds(kPongMs),
                    [&] { return attendee.last_pong >= ping || stopped_; });
  return attendee.last_pong >= ping;
}

Status PairingService::Enter(const std::shared_ptr<Attendee>& attendee) {
  std::unique_lock lock(mutex_);
  if (const auto found = present_.find(attendee->id);
      found != present_.end() && found->second->instance != attendee->instance) {
    const std::shared_ptr<Attendee> other = found->second;
    if (AnswersPing(*other, lock)) {
      return FailedPrecondition(fmt::format(
          "another process with this node's identity is alive at {}: if the state folder was "
          "copied, remove the copy and join with a new pairing code",
          other->address.ToString()));
    }
  }
  const auto neighbour = std::find_if(present_.begin(), present_.end(), [&](const auto& entry) {
    return entry.first != attendee->id && entry.second->address == attendee->address;
  });
  if (neighbour != present_.end()) {
    const std::shared_ptr<Attendee> other = neighbour->second;
    if (AnswersPing(*other, lock)) {
      return FailedPrecondition(
          fmt::format("another node of the mesh is alive at {}", other->address.ToString()));
    }
  }
  if (stopped_) return Cancelled("the coordinator is shutting down");
  if (const auto old = present_.find(attendee->id); old != present_.end()) {
    old->second->context->TryCancel();
  }
  present_[attendee->id] = attendee;
  if (!attendee->Send(RevokedWord())) return Cancelled("the node left");
  return OkStatus();
}

void PairingService::Leave(const Attendee& attendee) {
  const std::lock_guard lock(mutex_);
  const auto found = present_.find(attendee.id);
  if (found != present_.end() && found->second.get() == &attendee) present_.erase(found);
}

grpc::Status PairingService::Attend(grpc::ServerContext* context, AttendStream* stream) {
  const std::optional<PeerIdentity> peer = PeerOf(*context->auth_context());
  if (!peer) return {grpc::UNAUTHENTICATED, "no certificate was shown"};
  v1::NodeWord word;
  if (!ReadInTime(*context, *stream, word) || !word.has_arrival()) {
    return {grpc::INVALID_ARGUMENT, "a node says first where it is"};
  }
  const auto attendee = std::make_shared<Attendee>();
  attendee->id = peer->id;
  attendee->instance = word.arrival().instance();
  const Result<Address> address =
      ReachableAddress(word.arrival().listen(), peer->id, HostOfPeer(context->peer()));
  if (!address.ok()) return ToGrpcStatus(address.error());
  attendee->address = *address;
  attendee->context = context;
  attendee->stream = stream;
  if (const Status entered = Enter(attendee); !entered.ok()) {
    Leave(*attendee);
    return AsGrpc(entered);
  }
  Member member;
  bool refused = false;  // for good; trouble with a file passes
  const Status moved = authority_.roster().Change([&](Roster& roster) -> Status {
    const Status known = roster.Move(peer->id, *address);
    refused = !known.ok();
    if (known.ok()) member = *roster.Find(peer->id);
    return known;
  });
  if (moved.ok()) {
    on_arrival_(member);
    while (stream->Read(&word)) {
      const std::lock_guard lock(mutex_);
      if (word.has_pong()) attendee->last_pong = std::max(attendee->last_pong, word.pong());
      changed_.notify_all();
    }
  }
  Leave(*attendee);
  if (refused) return ToGrpcStatus(moved.error());
  if (!moved.ok()) return {grpc::UNAVAILABLE, moved.error().message};
  if (authority_.credentials()->IsRevoked(peer->id)) {
    return {grpc::PERMISSION_DENIED, "this node was revoked"};
  }
  return grpc::Status::OK;
}

void PairingService::AnnounceRevoked() {
  const std::lock_guard lock(mutex_);
  const v1::CoordinatorWord word = RevokedWord();
  for (const auto& [id, attendee] : present_) {
    // The node hears it, too: it may then say why it ends.
    static_cast<void>(attendee->Send(word));
    if (authority_.credentials()->IsRevoked(id)) attendee->context->TryCancel();
  }
}

void PairingService::Shutdown() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
  for (const auto& [id, attendee] : present_) attendee->context->TryCancel();
}

}  // namespace shoal
