// Proves who may do what in a mesh, over real gRPC and TLS in one process: joining with right,
// wrong, used and expired codes, and once more after an answer that was lost; calls by strangers,
// by other meshes, by the wrong role and by the revoked; one identity at two places; renewal.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <future>
#include <thread>

#include "base/log.h"
#include "base/wall_clock.h"
#include "coordinator/service/mesh_server.h"
#include "coordinator/service/node_link.h"
#include "kernels/kernel_table.h"
#include "net/channel.h"
#include "net/identity/x509.h"
#include "node/service/mesh_member.h"
#include "node/service/node_service.h"
#include "proto/weights.pb.h"
#include "tests/fuzz/rpc_script.h"
#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr int kDeadlineS = 30;
constexpr const char* kMachine = "this machine";
const Address kAnyPort{"", "127.0.0.1", 0};

// A coordinator with its server, and what it takes to be its node.
class TestMesh {
 public:
  TestMesh() {
    authority_ = std::move(*MeshAuthority::Open(folder_.path() + "/c", kMachine, UnixNowS()));
    server_ = std::move(*MeshServer::Start({kAnyPort, [](const Member&) {}}, *authority_));
  }

  MeshAuthority& authority() { return *authority_; }
  const Address& address() const { return server_->address(); }
  std::string Invite() { return *IssuePairingCode(*authority_, {address()}); }
  std::string folder(const std::string& name) const { return folder_.path() + "/" + name; }

  Result<std::string> Join(const std::string& code, const std::string& name) {
    ASSIGN_OR_RETURN(const PairingCode read, DecodePairingCode(code));
    return JoinMesh(read, name, folder(name), kMachine);
  }
  // The credentials of a new member.
  std::shared_ptr<Credentials> Admit(const std::string& name) {
    const Result<std::string> joined = Join(Invite(), name);
    CHECK(joined.ok(), joined.error().message);
    return std::make_shared<Credentials>(*LoadIdentity(folder(name), kMachine, UnixNowS()));
  }
  // A running member's thread; `refused` gets why it ended.
  std::unique_ptr<MeshMember> Attend(const std::string& name, uint64_t instance,
                                     const std::shared_ptr<Credentials>& credentials,
                                     std::promise<Error>& refused) {
    return std::make_unique<MeshMember>(
        MemberOptions{*LoadContact(folder(name)), folder(name), kMachine, "127.0.0.1:1", instance},
        credentials, [] {}, [&refused](Error error) { refused.set_value(std::move(error)); });
  }
  void Revoke(const std::string& name) {
    Change([&](Roster& roster) { static_cast<void>(roster.Revoke(name)); });
  }
  // As if all codes had been given out so much earlier.
  void Age(int64_t by_s) {
    Change([&](Roster& roster) {
      std::vector<IssuedCode> codes = roster.desk.codes();
      for (IssuedCode& code : codes) code.issued_unix_s -= by_s;
      roster.desk = PairingDesk(std::move(codes));
    });
  }

 private:
  void Change(const std::function<void(Roster&)>& change) {
    const Status changed = authority_->roster().Change([&](Roster& roster) {
      change(roster);
      return OkStatus();
    });
    CHECK(changed.ok(), "the roster is changed");
  }

  TempDir folder_;
  std::unique_ptr<MeshAuthority> authority_;
  std::unique_ptr<MeshServer> server_;
};

std::unique_ptr<NodeServer> StartNode(const std::shared_ptr<Credentials>& credentials,
                                      const std::string& store_folder = "") {
  NodeOptions options;
  options.store_folder = store_folder;
  options.store_quota_bytes = 1 << 20;
  options.name = "node";
  options.listen = kAnyPort;
  options.credentials = credentials;
  options.memory_limit_bytes = 1 << 20;
  return std::move(*NodeServer::Start(options, kernels::TableFor(kernels::Isa::kReference)));
}

// What a process with these credentials gets when it asks the node to describe itself.
Result<NodeDescription> Describe(const NodeServer& node, const std::shared_ptr<Credentials>& as,
                                 const std::string& expected_id) {
  const SteadyClock clock;
  NodeLink link({"node", node.address(), {as, Role::kNode, expected_id}}, clock);
  return link.Describe({kDeadlineS * 1000, kDeadlineS * 1000});
}

// What it gets there when it cannot even connect: that takes the whole time.
Result<NodeDescription> DescribeBriefly(const NodeServer& node,
                                        const std::shared_ptr<Credentials>& as,
                                        const std::string& expected_id) {
  const SteadyClock clock;
  NodeLink link({"node", node.address(), {as, Role::kNode, expected_id}}, clock);
  return link.Describe({1000, 1000});
}

template <typename T>
T WaitFor(std::future<T> value) {
  CHECK(value.wait_for(std::chrono::seconds(kDeadlineS)) == std::future_status::ready, "in time");
  return value.get();
}

TEST(Pairing, ACodeLetsOneDeviceIn) {
  TestMesh mesh;
  const std::string code = mesh.Invite();
  EXPECT_EQ(*mesh.Join(code, "desk"), "desk");
  const Result<OwnIdentity> own = LoadIdentity(mesh.folder("desk"), kMachine, UnixNowS());
  ASSERT_TRUE(own.ok()) << own.error().message;
  EXPECT_EQ(own->self.role, Role::kNode);
  EXPECT_EQ(own->self.mesh, mesh.authority().credentials()->self().mesh);
  // The same code again: refused, and nothing is left behind.
  const Result<std::string> replayed = mesh.Join(code, "other");
  ASSERT_FALSE(replayed.ok());
  EXPECT_THAT(replayed.error().message, HasSubstr("used before"));
  EXPECT_EQ(LoadIdentity(mesh.folder("other"), kMachine, UnixNowS()).error().code,
            ErrorCode::kNotFound);
}

// Like one whose answer was lost: all that it has is its key.
void LoseAnswer(const TestMesh& mesh, const std::string& name) {
  CHECK(std::filesystem::remove(ChainPath(mesh.folder(name))), "there was an answer");
}

TEST(Pairing, ADeviceWhoseAnswerWasLostGetsItAgain) {
  TestMesh mesh;
  const std::string code = mesh.Invite();
  ASSERT_TRUE(mesh.Join(code, "desk").ok());
  const OwnIdentity first = *LoadIdentity(mesh.folder("desk"), kMachine, UnixNowS());
  for (size_t i = 0; i <= kMaxTriesPerSource; ++i) {  // it is no guess
    LoseAnswer(mesh, "desk");
    const Result<std::string> again = mesh.Join(code, "desk");
    ASSERT_TRUE(again.ok()) << again.error().message;
    EXPECT_EQ(*again, "desk");
  }
  const OwnIdentity own = *LoadIdentity(mesh.folder("desk"), kMachine, UnixNowS());
  EXPECT_EQ(own.self, first.self);
  EXPECT_EQ(own.key_pem, first.key_pem);
  EXPECT_EQ(mesh.authority().roster().Read()->members.size(), 1U);
  EXPECT_THAT(mesh.Join(code, "other").error().message, HasSubstr("used before"));
  EXPECT_EQ(mesh.authority().roster().Read()->members.size(), 1U);
}

TEST(Pairing, AnAnswerIsGivenAgainOnlyWhileTheCodeLivesAndToAMember) {
  TestMesh mesh;
  const std::string code = mesh.Invite();
  ASSERT_TRUE(mesh.Join(code, "desk").ok());
  // Another member that has taken the id of a revoked one for its name is not mistaken for it.
  const std::string id = mesh.authority().roster().Read()->members[0].id;
  mesh.Revoke("desk");
  EXPECT_EQ(*mesh.Join(mesh.Invite(), id), id);
  EXPECT_THAT(mesh.Join(code, "desk").error().message, HasSubstr("was revoked"));
  mesh.Age(kCodeLifeS + 1);
  EXPECT_THAT(mesh.Join(code, "desk").error().message, HasSubstr("used before"));
  EXPECT_EQ(mesh.authority().roster().Read()->members.size(), 2U);
}

TEST(Pairing, WrongAndExpiredCodesAreRefusedThenSlowedDown) {
  TestMesh mesh;
  const PairingSecret expired = DecodePairingCode(mesh.Invite())->secret;
  mesh.Age(kCodeLifeS + 5);
  PairingCode code = *DecodePairingCode(mesh.Invite());
  const PairingSecret right = code.secret;
  const auto attempt = [&](const PairingSecret& secret) {
    code.secret = secret;
    return mesh.Join(EncodePairingCode(code), "desk");
  };
  // One that was right is no guess, as a service that starts with it again and again shows.
  for (size_t i = 0; i <= kMaxTriesPerSource; ++i) {
    EXPECT_THAT(attempt(expired).error().message, HasSubstr("expired"));
  }
  for (size_t i = 0; i < kMaxTriesPerSource; ++i) {
    EXPECT_THAT(attempt({9}).error().message, HasSubstr("not one of"));
  }
  EXPECT_EQ(attempt(right).error().code, ErrorCode::kResourceExhausted);
}

TEST(Pairing, AServerThatIsNotTheCodesIsRefusedBeforeItLearnsAnything) {
  TestMesh mesh;
  TestMesh imposter;
  PairingCode code = *DecodePairingCode(mesh.Invite());
  code.addresses = {imposter.address()};
  const Result<std::string> joined = mesh.Join(EncodePairingCode(code), "desk");
  ASSERT_FALSE(joined.ok());
  EXPECT_THAT(joined.error().message, HasSubstr("fingerprint"));
  // A node of the right mesh is no coordinator.
  const auto credentials = mesh.Admit("node");
  const auto node = StartNode(credentials);
  code.addresses = {node->address()};
  EXPECT_THAT(mesh.Join(EncodePairingCode(code), "desk").error().message,
              HasSubstr("expected its coordinator"));
}

TEST(Pairing, AJoinThatFailsTellsOfEveryAddress) {
  TestMesh mesh;
  TestMesh imposter;
  PairingCode code = *DecodePairingCode(mesh.Invite());
  const Address closed = {"", "127.0.0.1", 1};
  code.addresses = {closed, imposter.address()};
  const std::string failed = mesh.Join(EncodePairingCode(code), "desk").error().message;
  EXPECT_THAT(failed, HasSubstr(closed.ToString() + ": Connection refused; " +
                                imposter.address().ToString() + ": it is not the coordinator"));
}

TEST(Calls, OnlyTheCoordinatorOfTheMeshControlsANode) {
  TestMesh mesh;
  TestMesh other;
  const auto member = mesh.Admit("first");
  const auto second = mesh.Admit("second");
  const auto node = StartNode(member);
  const std::string id = member->self().id;
  const Result<NodeDescription> allowed = Describe(*node, mesh.authority().credentials(), id);
  EXPECT_TRUE(allowed.ok()) << allowed.error().message;

  const Result<NodeDescription> by_node = Describe(*node, second, id);
  ASSERT_FALSE(by_node.ok()) << "a node's certificate does not make a coordinator";
  EXPECT_THAT(by_node.error().message, HasSubstr("may not call"));
  // The right mesh, but not the node that was meant: whoever dials notices.
  EXPECT_FALSE(DescribeBriefly(*node, mesh.authority().credentials(), second->self().id).ok());
  // A coordinator, but of another mesh: no connection at all, from either side's view.
  EXPECT_FALSE(DescribeBriefly(*node, other.authority().credentials(), id).ok());

  // Without a certificate, and without TLS.
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride(member->self().DnsName());
  for (const bool tls : {true, false}) {
    const auto channel =
        grpc::CreateCustomChannel(node->address().ToString(),
                                  tls ? grpc::SslCredentials({member->own().authority_pem, "", ""})
                                      : grpc::InsecureChannelCredentials(),
                                  arguments);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(kDeadlineS));
    v1::DescribeReply reply;
    const grpc::Status status =
        v1::NodeControl::NewStub(channel)->Describe(&context, v1::DescribeRequest(), &reply);
    EXPECT_EQ(status.error_code(), tls ? grpc::UNAUTHENTICATED : grpc::UNAVAILABLE)
        << status.error_message();
  }
}

TEST(Calls, TrapTwoBuildsInOneMeshAreRefused) {
  TestMesh mesh;
  const auto member = mesh.Admit("first");
  const auto node = StartNode(member);
  const Trust trust = {mesh.authority().credentials(), Role::kNode, member->self().id};
  const auto stub = v1::NodeControl::NewStub(MakeChannel(node->address(), trust));
  for (const auto& [build, protocol] :
       {std::pair(BuildId() + "x", kProtocolVersion), std::pair(BuildId(), kProtocolVersion + 1)}) {
    v1::DescribeRequest describe;
    describe.set_build(build);
    describe.set_protocol_version(protocol);
    v1::DescribeReply described;
    grpc::ClientContext first_context;
    const grpc::Status by_describe = stub->Describe(&first_context, describe, &described);
    EXPECT_EQ(by_describe.error_code(), grpc::FAILED_PRECONDITION);
    EXPECT_THAT(by_describe.error_message(), HasSubstr(build));

    v1::PrepareRequest prepare;
    prepare.set_build(build);
    prepare.set_protocol_version(protocol);
    prepare.set_epoch(1);
    grpc::ClientContext second_context;
    v1::PrepareProgress progress;
    const auto reader = stub->Prepare(&second_context, prepare);
    EXPECT_FALSE(reader->Read(&progress));
    const grpc::Status by_prepare = reader->Finish();
    EXPECT_EQ(by_prepare.error_code(), grpc::FAILED_PRECONDITION);
    EXPECT_THAT(by_prepare.error_message(), HasSubstr("both must be the same"));
  }
}

TEST(Calls, NobodyReachesThePresenceOfNodesWithoutACertificate) {
  TestMesh mesh;
  const auto channel =
      MakeChannel(mesh.address(), {mesh.authority().credentials(), Role::kCoordinator,
                                   mesh.authority().credentials()->self().id});
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(kDeadlineS));
  v1::RenewReply reply;
  const grpc::Status status =
      v1::Pairing::NewStub(channel)->Renew(&context, v1::RenewRequest(), &reply);
  EXPECT_EQ(status.error_code(), grpc::PERMISSION_DENIED) << "a coordinator is no node";
}

TEST(Members, ARevokedOneIsToldRefusedAndCutOff) {
  TestMesh mesh;
  const auto member = mesh.Admit("lost-phone");
  const auto node = StartNode(member);
  std::promise<Error> refused;
  const auto attending = mesh.Attend("lost-phone", 1, member, refused);
  mesh.Revoke("lost-phone");
  EXPECT_THAT(WaitFor(refused.get_future()).message, HasSubstr("revoked"));
  // Nobody dials it, and it gets nowhere any more.
  EXPECT_FALSE(Describe(*node, mesh.authority().credentials(), member->self().id).ok());
  std::promise<Error> again;
  const auto back = mesh.Attend("lost-phone", 2, member, again);
  EXPECT_THAT(WaitFor(again.get_future()).message, HasSubstr("revoked"));
}

TEST(Members, ASecondLiveOneWithTheSameIdentityIsRefused) {
  TestMesh mesh;
  const auto member = mesh.Admit("desk");
  std::promise<Error> first_refused;
  auto first = mesh.Attend("desk", 1, member, first_refused);
  while (mesh.authority().roster().Read()->Find("desk")->address.empty()) std::this_thread::yield();
  std::promise<Error> second_refused;
  const auto second = mesh.Attend("desk", 2, member, second_refused);
  EXPECT_THAT(WaitFor(second_refused.get_future()).message, HasSubstr("another process"));
  EXPECT_NE(first_refused.get_future().wait_for(std::chrono::seconds(0)),
            std::future_status::ready);
}

TEST(Members, OneThatSaysToBeWhereAnotherOneIsAliveIsRefused) {
  TestMesh mesh;
  const std::shared_ptr<Credentials> desk = mesh.Admit("desk");
  const std::shared_ptr<Credentials> thief = mesh.Admit("thief");
  std::promise<Error> desk_refused;
  std::promise<Error> thief_refused;
  const auto first = mesh.Attend("desk", 1, desk, desk_refused);
  while (mesh.authority().roster().Read()->Find("desk")->address.empty()) std::this_thread::yield();
  const auto second = mesh.Attend("thief", 2, thief, thief_refused);
  std::future<Error> refused = thief_refused.get_future();
  ASSERT_EQ(refused.wait_for(std::chrono::seconds(kDeadlineS)), std::future_status::ready);
  EXPECT_THAT(refused.get().message, HasSubstr("alive at 127.0.0.1:1"));
  EXPECT_EQ(mesh.authority().roster().Read()->Find("desk")->address, "127.0.0.1:1");
}

TEST(Authority, AWrongClockIsNamedAndOutlived) {
  const TempDir folder;
  const int64_t now_s = UnixNowS();
  const int64_t later_s = now_s + 400 * kSecondsPerDay;
  const auto open = [&](const std::string& name, int64_t at_s) {
    return MeshAuthority::Open(folder.path() + name, kMachine, at_s);
  };
  ASSERT_TRUE(open("/past", now_s).ok());
  ASSERT_TRUE(open("/past", later_s).ok());  // renews the coordinator's certificate
  const auto back = open("/past", now_s);
  ASSERT_TRUE(back.ok()) << back.error().message;
  const OwnIdentity own = (*back)->credentials()->own();
  EXPECT_LE(ReadCertificate(own.certificate_pem)->not_before_unix_s, now_s);
  ASSERT_TRUE(open("/future", later_s).ok());
  EXPECT_THAT(open("/future", now_s).error().message, HasSubstr("clock"));
}

TEST(Members, ACertificateIsRenewedBeforeItRunsOut) {
  TestMesh mesh;
  const auto member = mesh.Admit("desk");
  OwnIdentity old = member->own();
  old.not_after_unix_s = UnixNowS() + kSecondsPerDay;  // as if it had been there for months
  const auto aged = std::make_shared<Credentials>(old);
  std::promise<Error> refused;
  const auto attending = mesh.Attend("desk", 1, aged, refused);
  const int64_t due = UnixNowS() + kRenewDays * kSecondsPerDay;
  while (aged->own().not_after_unix_s < due) std::this_thread::yield();
  const Result<OwnIdentity> stored = LoadIdentity(mesh.folder("desk"), kMachine, UnixNowS());
  ASSERT_TRUE(stored.ok()) << stored.error().message;
  EXPECT_EQ(stored->self, old.self);
  EXPECT_EQ(stored->certificate_pem, aged->own().certificate_pem);
  EXPECT_NE(stored->certificate_pem, old.certificate_pem);
}

// Every method of the services in the file that the message is from.
template <typename Message>
std::vector<std::string> MethodsBeside() {
  std::vector<std::string> methods;
  const auto* file = Message::descriptor()->file();
  for (int s = 0; s < file->service_count(); ++s) {
    const auto* service = file->service(s);
    for (int m = 0; m < service->method_count(); ++m) {
      methods.push_back(fmt::format("/{}/{}", service->full_name(), service->method(m)->name()));
    }
  }
  return methods;
}

// A call that meets the end of a connection, which the server may close on whoever sends such
// headers, is UNAVAILABLE: then it is made again on the next one.
grpc::StatusCode CodeOf(RawCaller& caller, const std::string& method, const ScriptedCall& call) {
  constexpr int kTries = 5;
  grpc::Status status;
  for (int i = 0; i < kTries; ++i) {
    status = caller.Call(method, call, kDeadlineS * 1000);
    if (status.error_code() != grpc::UNAVAILABLE) break;
    spdlog::info("{}: {}", method, status.error_message());
  }
  return status.error_code();
}

void ExpectTooLarge(const std::shared_ptr<grpc::Channel>& channel,
                    const std::vector<std::string>& methods) {
  RawCaller caller(channel);
  ScriptedCall message;
  message.messages = {std::string(kMaxMessageBytes + 1, '\0')};
  ScriptedCall header;
  header.messages = {""};
  header.header = {"x-large", std::string(1 << 20, 'x')};
  EXPECT_FALSE(methods.empty());
  for (const std::string& method : methods) {
    EXPECT_EQ(CodeOf(caller, method, message), grpc::RESOURCE_EXHAUSTED) << method;
    EXPECT_EQ(CodeOf(caller, method, header), grpc::RESOURCE_EXHAUSTED) << method;
  }
}

TEST(Calls, MessagesAndHeadersThatAreTooLargeAreRefusedByEveryMethod) {
  TestMesh mesh;
  const auto credentials = mesh.Admit("desk");
  const auto node = StartNode(credentials, mesh.folder("store"));
  const auto coordinator = mesh.authority().credentials();
  const std::string& id = credentials->self().id;
  const auto channel = MakeChannel(node->address(), {coordinator, Role::kNode, id});
  ExpectTooLarge(channel, MethodsBeside<v1::DescribeRequest>());
  ExpectTooLarge(channel, MethodsBeside<v1::LinkMessage>());
  ExpectTooLarge(channel, MethodsBeside<v1::PieceWant>());
  EXPECT_TRUE(Describe(*node, coordinator, id).ok());

  const Trust trust = {credentials, Role::kCoordinator, coordinator->self().id};
  ExpectTooLarge(MakeChannel(mesh.address(), trust), MethodsBeside<v1::JoinRequest>());
  EXPECT_TRUE(mesh.Join(mesh.Invite(), "other").ok());
}

TEST(Calls, WhatNoRuleNamesIsRefused) {
  constexpr CallRule kRules[] = {{"/a.B/Open", Callers::kAnyone},
                                 {"/a.B/", Callers::kMembers},
                                 {"/a.C/", Callers::kCoordinator}};
  const PeerIdentity node{"mesh", Role::kNode, "id"};
  const PeerIdentity coordinator{"mesh", Role::kCoordinator, "id"};
  const auto allowed = [&](const char* path, const std::optional<PeerIdentity>& peer,
                           const char* mesh = "mesh", bool revoked = false) {
    return CheckCall(kRules, path, peer, mesh, revoked).ok();
  };
  EXPECT_TRUE(allowed("/a.B/Open", std::nullopt));
  EXPECT_FALSE(allowed("/a.B/Other", std::nullopt));
  EXPECT_TRUE(allowed("/a.B/Other", node));
  EXPECT_FALSE(allowed("/a.C/Do", node));
  EXPECT_TRUE(allowed("/a.C/Do", coordinator));
  EXPECT_FALSE(allowed("/a.C/Do", coordinator, "other"));
  EXPECT_FALSE(allowed("/a.C/Do", coordinator, "mesh", true));
  EXPECT_FALSE(allowed("/a.D/Do", coordinator));
  EXPECT_FALSE(allowed("", coordinator));
}

}  // namespace
}  // namespace shoal
