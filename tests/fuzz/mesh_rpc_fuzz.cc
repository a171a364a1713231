// Any calls of what a coordinator offers to nodes and to strangers, with any headers and messages:
// each is answered or refused, and afterwards a member still gets its certificate renewed. The gate
// of net/identity/credentials.h, which refuses strangers most of this, is left open here.
#include <grpcpp/server_builder.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/check.h"
#include "base/log.h"
#include "base/wall_clock.h"
#include "coordinator/service/pairing_service.h"
#include "net/channel.h"
#include "net/identity/x509.h"
#include "tests/fuzz/rpc_script.h"
#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

constexpr int kFuzzedCallMs = 2000;
constexpr int kOrderlyCallMs = 20'000;

constexpr const char* kMethods[] = {"/shoal.v1.Pairing/Join", "/shoal.v1.Pairing/Renew",
                                    "/shoal.v1.Pairing/Attend", "/shoal.v1.Pairing/NoSuchMethod"};
constexpr CallRule kAll[] = {{"/", Callers::kAnyone}};

template <typename T>
T Must(Result<T> result) {
  CHECK(result.ok(), result.ok() ? "" : result.error().message);
  return std::move(*result);
}
void Must(const Status& status) { CHECK(status.ok(), status.ok() ? "" : status.error().message); }

class MeshUnderTest {
 public:
  MeshUnderTest() : authority_(Must(MeshAuthority::Open(folder_.path() + "/mesh", "", now_s_))) {
    spdlog::set_level(spdlog::level::off);
    Member member;
    member.id = MakeMemberId();
    member.name = "fuzzer";
    const std::string folder = folder_.path() + "/member";
    public_key_ = Must(PublicKeyOf(Must(LoadOrMakeKey(folder))));
    Must(StoreIdentity(folder, "", Must(authority_->IssueTo(member.id, public_key_, now_s_)),
                       authority_->credentials()->own().authority_pem));
    roster_.members = {member};

    pairing_ = std::make_unique<PairingService>(
        *authority_, [this] { return now_s_; }, [](const Member&) {});
    Address address;
    address.host = "127.0.0.1";
    int port = 0;
    grpc::ServerBuilder builder;
    ConfigureServer(builder, address, Credentials::ForServing(authority_->credentials(), kAll),
                    &port);
    builder.RegisterService(pairing_.get());
    server_ = builder.BuildAndStart();
    CHECK(server_ != nullptr, "the server starts");
    address.port = static_cast<uint16_t>(port);
    const auto own = std::make_shared<Credentials>(Must(LoadIdentity(folder, "", now_s_)));
    const PeerIdentity coordinator = authority_->credentials()->self();
    caller_ = std::make_unique<RawCaller>(
        MakeChannel(address, {own, Role::kCoordinator, coordinator.id}));
  }
  ~MeshUnderTest() {
    pairing_->Shutdown();
    server_->Shutdown();
  }

  // The roster as it was, with one code to be used; and a minute later, so that nobody is slowed
  // down for what another input did.
  void Reset() {
    now_s_ += kTryWindowS + 1;
    Must(authority_->roster().Change([&](Roster& roster) {
      roster = roster_;
      roster.desk.Issue(secret_, now_s_);
      return OkStatus();
    }));
  }

  void Run(const ScriptedCall& call) {
    const std::string method = kMethods[call.method % std::size(kMethods)];
    ScriptedCall filled = call;
    if (call.in_good_faith && method.ends_with("Join")) {
      for (std::string& message : filled.messages) {
        message = Filled<v1::JoinRequest>(message, [&](auto& request) { Prove(request); });
      }
    }
    static_cast<void>(caller_->Call(method, filled, kFuzzedCallMs));
  }

  void CheckWorks() {
    ScriptedCall renew;
    renew.messages = {""};
    std::string reply;
    const grpc::Status status =
        caller_->Call("/shoal.v1.Pairing/Renew", renew, kOrderlyCallMs, &reply);
    CHECK(status.ok(), status.error_message());
    v1::RenewReply renewed;
    CHECK(renewed.ParseFromString(reply), "a reply");
    CHECK(Must(ReadCertificate(renewed.certificate())).public_key == public_key_, "for its key");
    const Roster roster = Must(authority_->roster().Read());
    CHECK(roster.members.size() <= roster_.members.size() + 1, "one code lets one device in");
  }

 private:
  void Prove(v1::JoinRequest& request) {
    if (request.public_key().empty()) request.set_public_key(public_key_);
    const Sha256Digest proof =
        PairingProof(secret_, request.public_key(), authority_->fingerprint());
    request.set_proof(proof.data(), proof.size());
  }

  TempDir folder_;
  int64_t now_s_ = UnixNowS();
  std::unique_ptr<MeshAuthority> authority_;
  const PairingSecret secret_ = MakePairingSecret();
  std::string public_key_;
  Roster roster_;
  std::unique_ptr<PairingService> pairing_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<RawCaller> caller_;
};

}  // namespace
}  // namespace shoal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static shoal::MeshUnderTest mesh;
  mesh.Reset();
  for (const shoal::ScriptedCall& call : shoal::ReadScript(data, size)) mesh.Run(call);
  mesh.CheckWorks();
  return 0;
}
