#include <fmt/chrono.h>
#include <fmt/format.h>
#include <grpcpp/create_channel.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/atomic_file.h"
#include "base/log.h"
#include "base/wall_clock.h"
#include "net/channel.h"
#include "net/identity/pairing_desk.h"
#include "net/identity/server_chain.h"
#include "net/identity/x509.h"
#include "node/service/mesh_member.h"

namespace shoal {

namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxContactBytes = 16 << 10;
constexpr int kJoinTries = 4;
constexpr int kJoinBackoffMs = 500;  // twice as long after each further try

std::string ContactPath(const std::string& folder) { return folder + "/coordinator.json"; }

// A coordinator as it shows itself, its authority being the one that the code names.
struct CheckedCoordinator {
  Address address;
  PeerIdentity identity;
  std::string authority_pem;
  Sha256Digest fingerprint{};
};

// Before TLS says only that something about a certificate is wrong.
Status CheckClock(const CertificateFacts& coordinator, int64_t now_unix_s) {
  if (now_unix_s >= coordinator.not_before_unix_s && now_unix_s <= coordinator.not_after_unix_s) {
    return OkStatus();
  }
  const auto utc = [](int64_t unix_s) { return fmt::gmtime(static_cast<std::time_t>(unix_s)); };
  return FailedPrecondition(fmt::format(
      "this device's clock says {:%Y-%m-%d %H:%M} UTC, but the coordinator's "
      "certificate is valid from {:%Y-%m-%d %H:%M} to {:%Y-%m-%d}: set the clock first",
      utc(now_unix_s), utc(coordinator.not_before_unix_s), utc(coordinator.not_after_unix_s)));
}

// One that is damaged is good for nothing any more.
Result<std::string> OwnPublicKey(const std::string& folder) {
  ASSIGN_OR_RETURN(const std::string key, LoadOrMakeKey(folder));
  Result<std::string> public_key = PublicKeyOf(key);
  if (public_key.ok()) return public_key;
  ASSIGN_OR_RETURN(const std::string another, ReplaceKey(folder));
  return PublicKeyOf(another);
}

Result<CheckedCoordinator> CheckChain(const std::vector<std::string>& chain, const Address& address,
                                      const AuthorityPin& pin) {
  CheckedCoordinator found;
  found.address = address;
  for (const std::string& pem : chain) {
    ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificate(pem));
    if (!facts.authority || PinOf(facts.fingerprint) != pin) continue;
    found.authority_pem = pem;
    found.fingerprint = facts.fingerprint;
  }
  if (found.authority_pem.empty()) {
    return FailedPrecondition(
        "it is not the coordinator that made this pairing code: its authority's fingerprint is "
        "another one");
  }
  ASSIGN_OR_RETURN(const CertificateFacts leaf, ReadCertificate(chain.front()));
  ASSIGN_OR_RETURN(found.identity, leaf.Identity());
  RETURN_IF_ERROR(CheckIssuedBy(chain.front(), found.authority_pem));
  if (found.identity.role != Role::kCoordinator) {
    return FailedPrecondition(fmt::format("it is a {} of the mesh, expected its coordinator",
                                          RoleName(found.identity.role)));
  }
  RETURN_IF_ERROR(CheckClock(leaf, UnixNowS()));
  return found;
}

// Errors name the address.
Result<CheckedCoordinator> CheckCoordinator(const Address& address, const AuthorityPin& pin) {
  ASSIGN_OR_RETURN(const std::vector<std::string> chain, FetchServerChain(address, kCallTimeoutMs));
  Result<CheckedCoordinator> found = CheckChain(chain, address, pin);
  if (!found.ok()) return found.error().WithContext(address.ToString());
  return found;
}

// The error tells of each address.
Result<CheckedCoordinator> FindCoordinator(const PairingCode& code) {
  std::optional<Error> failed;
  for (const Address& address : code.addresses) {
    Result<CheckedCoordinator> found = CheckCoordinator(address, code.pin);
    if (found.ok()) return found;
    if (!failed) {
      failed = found.error();
    } else {
      failed->message += "; " + found.error().message;
    }
  }
  return *failed;
}

// Over a connection of its own: an earlier one may be dead without a word.
Result<v1::JoinReply> AskOnce(const CheckedCoordinator& coordinator,
                              const v1::JoinRequest& request) {
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride(coordinator.identity.DnsName());
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const std::string address = coordinator.address.ToString();
  const auto stub = v1::Pairing::NewStub(grpc::CreateCustomChannel(
      address, grpc::SslCredentials({coordinator.authority_pem, "", ""}), arguments));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(kCallTimeoutMs));
  v1::JoinReply reply;
  const grpc::Status status = stub->Join(&context, request, &reply);
  if (!status.ok()) return FromGrpcStatus(status, address);
  return reply;
}

// Whether the coordinator may have let the device in all the same.
bool MayHaveRun(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kCancelled ||
         error.code == ErrorCode::kDeadlineExceeded;
}

// The same request gets the same member again, so it is repeated where its answer may be lost.
Result<v1::JoinReply> AskToJoin(const CheckedCoordinator& coordinator,
                                const v1::JoinRequest& request) {
  Result<v1::JoinReply> reply = AskOnce(coordinator, request);
  for (int tries = 1; tries < kJoinTries && !reply.ok() && MayHaveRun(reply.error()); ++tries) {
    spdlog::warn("no answer to the request to join, which is repeated: {}", reply.error().message);
    const int backoff_ms = Jittered(kJoinBackoffMs << (tries - 1));
    std::this_thread::sleep_for(std::chrono::milliseconds(backoff_ms));
    reply = AskOnce(coordinator, request);
  }
  return reply;
}

}  // namespace

Status StoreContact(const std::string& folder, const CoordinatorContact& contact) {
  Json json = {{"id", contact.id}, {"addresses", Json::array()}};
  for (const Address& address : contact.addresses) json["addresses"].push_back(address.ToString());
  return WriteFileAtomically(ContactPath(folder), json.dump(2) + "\n");
}

Result<CoordinatorContact> LoadContact(const std::string& folder) {
  ASSIGN_OR_RETURN(const std::string text, ReadFileUpTo(ContactPath(folder), kMaxContactBytes));
  CoordinatorContact contact;
  try {
    const Json json = Json::parse(text);
    contact.id = json.at("id").get<std::string>();
    for (const Json& entry : json.at("addresses")) {
      ASSIGN_OR_RETURN(Address address, ParseAddress(entry.get<std::string>()));
      contact.addresses.push_back(std::move(address));
    }
  } catch (const Json::exception& failed) {
    return DataLoss(ContactPath(folder) + ": " + failed.what());
  }
  if (!IsId(contact.id) || contact.addresses.empty() ||
      contact.addresses.size() > CoordinatorContact::kMostAddresses) {
    return DataLoss(ContactPath(folder) + ": expected an id and 1 to 16 addresses");
  }
  return contact;
}

Result<std::string> JoinMesh(const PairingCode& code, const std::string& name,
                             const std::string& folder, const std::string& machine) {
  ASSIGN_OR_RETURN(const CheckedCoordinator found, FindCoordinator(code));
  v1::JoinRequest request;
  ASSIGN_OR_RETURN(*request.mutable_public_key(), OwnPublicKey(folder));
  const Sha256Digest proof = PairingProof(code.secret, request.public_key(), found.fingerprint);
  request.set_proof(proof.data(), proof.size());
  request.set_name(name);

  ASSIGN_OR_RETURN(const v1::JoinReply reply, AskToJoin(found, request));
  ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificate(reply.certificate()));
  ASSIGN_OR_RETURN(const PeerIdentity identity, facts.Identity());
  RETURN_IF_ERROR(CheckIssuedBy(reply.certificate(), found.authority_pem));
  if (identity.role != Role::kNode || identity.mesh != found.identity.mesh ||
      facts.public_key != request.public_key()) {
    return FailedPrecondition(found.address.ToString() +
                              ": answered with a certificate that is not for this node");
  }
  RETURN_IF_ERROR(StoreContact(folder, {found.identity.id, code.addresses}));
  RETURN_IF_ERROR(StoreIdentity(folder, machine, reply.certificate(), found.authority_pem));
  return reply.name();
}

}  // namespace shoal
