#include "node/service/mesh_member.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <random>
#include <set>

#include "base/atomic_file.h"
#include "base/log.h"
#include "base/wall_clock.h"
#include "net/channel.h"
#include "net/discovery.h"
#include "net/identity/x509.h"

namespace shoal {

namespace {

constexpr int kFirstBackoffMs = 200;
constexpr int kMostBackoffMs = 5000;
constexpr int kWaitMs = 100;
constexpr int kSeekMs = 1000;
constexpr size_t kMaxRevoked = 4096;
// Then the stream begins anew, before which the certificate is renewed if that is due.
constexpr auto kAttendFor = std::chrono::hours(24);

std::string RevokedPath(const std::string& folder) { return folder + "/revoked"; }

}  // namespace

int Jittered(int backoff_ms) {
  std::random_device device;
  return std::uniform_int_distribution<int>(backoff_ms / 2, backoff_ms)(device);
}

std::set<std::string> LoadRevoked(const std::string& folder) {
  std::set<std::string> revoked;
  std::ifstream file(RevokedPath(folder));
  for (std::string id; revoked.size() < kMaxRevoked && std::getline(file, id);) {
    if (IsId(id)) revoked.insert(id);
  }
  return revoked;
}

MeshMember::MeshMember(MemberOptions options, std::shared_ptr<Credentials> credentials,
                       std::function<void()> on_revoked, std::function<void(Error)> on_refused)
    : options_(std::move(options)),
      contact_(options_.coordinator),
      credentials_(std::move(credentials)),
      on_revoked_(std::move(on_revoked)),
      on_refused_(std::move(on_refused)),
      thread_([this] { MemberThreadMain(); }) {}

MeshMember::~MeshMember() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    if (call_ != nullptr) call_->TryCancel();
  }
  changed_.notify_all();
  thread_.join();
}

bool MeshMember::Pause(int timeout_ms) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [this] { return stop_; });
  return !stop_;
}

std::unique_ptr<grpc::ClientContext> MeshMember::MakeContext() {
  auto context = std::make_unique<grpc::ClientContext>();
  const std::lock_guard lock(mutex_);
  call_ = context.get();
  if (stop_) context->TryCancel();
  return context;
}

// In short waits, so that a request to stop is noticed.
bool MeshMember::Connect(grpc::Channel& channel) {
  for (int waited_ms = 0; waited_ms < kCallTimeoutMs && Pause(0); waited_ms += kWaitMs) {
    const auto until = std::chrono::system_clock::now() + std::chrono::milliseconds(kWaitMs);
    if (channel.WaitForConnected(until)) return true;
  }
  return false;
}

// Those it was at when this node joined, and those where somebody says to be of this mesh: all who
// answer, since only the right one can prove that.
std::vector<Address> MeshMember::SeekAddresses() const {
  std::vector<Address> addresses = contact_.addresses;
  const Result<std::vector<FoundCoordinator>> found =
      SeekCoordinators(credentials_->self().mesh, kSeekMs, false);
  if (!found.ok()) return addresses;
  for (const FoundCoordinator& one : *found) addresses.push_back(one.address);
  return addresses;
}

void MeshMember::MemberThreadMain() {
  int backoff_ms = kFirstBackoffMs;
  std::vector<Address> addresses = contact_.addresses;
  size_t turn = 0;
  do {
    if (turn == addresses.size()) {  // none of them answered
      SayAbsent(addresses);
      addresses = SeekAddresses();
      turn = 0;
    }
    const Address& address = addresses[turn++];
    const Trust trust = {credentials_, Role::kCoordinator, contact_.id};
    const std::shared_ptr<grpc::Channel> channel = MakeChannel(address, trust);
    if (Connect(*channel)) {
      const std::unique_ptr<v1::Pairing::Stub> stub = v1::Pairing::NewStub(channel);
      if (const Status renewed = RenewIfDue(*stub); !renewed.ok()) {
        spdlog::warn("the certificate was not renewed: {}", renewed.error().message);
      }
      const Status attended = Attend(*stub, address);
      if (!attended.ok() && attended.error().code == ErrorCode::kFailedPrecondition) {
        on_refused_(attended.error());
        return;
      }
      backoff_ms = kFirstBackoffMs;
      --turn;  // it is asked first again
    }
    backoff_ms = std::min(2 * backoff_ms, kMostBackoffMs);
  } while (Pause(Jittered(backoff_ms)));
}

void MeshMember::SayPresent(const Address& address) {
  if (std::exchange(present_, true) != true) {
    spdlog::info("the coordinator is there, at {}", address.ToString());
  }
  std::vector<Address>& known = contact_.addresses;
  if (known.front() == address) return;
  std::erase(known, address);
  known.insert(known.begin(), address);
  known.resize(std::min(known.size(), CoordinatorContact::kMostAddresses));
  const Status stored = StoreContact(options_.folder, contact_);
  if (!stored.ok()) spdlog::warn("where it is was not kept: {}", stored.error().message);
}

void MeshMember::SayAbsent(const std::vector<Address>& addresses) {
  if (std::exchange(present_, false) == false) return;
  std::string at;
  for (const Address& address : addresses) at += (at.empty() ? "" : ", ") + address.ToString();
  const Result<CertificateFacts> own = ReadCertificate(credentials_->own().certificate_pem);
  const bool early = own.ok() && UnixNowS() < own->not_before_unix_s;
  spdlog::warn("the coordinator does not answer at {}; it is asked again until it does{}", at,
               early ? ". This device's clock is wrong: its certificate is not valid yet"
                     : ", and 'shoal doctor' may find out why");
}

Status MeshMember::Attend(v1::Pairing::Stub& stub, const Address& address) {
  const std::unique_ptr<grpc::ClientContext> context = MakeContext();
  context->set_deadline(std::chrono::system_clock::now() + kAttendFor);
  const auto stream = stub.Attend(context.get());
  v1::NodeWord out;
  out.mutable_arrival()->set_instance(options_.instance);
  out.mutable_arrival()->set_listen(options_.listen);
  v1::CoordinatorWord word;
  Status heard;
  if (stream->Write(out)) {
    while (heard.ok() && stream->Read(&word)) {
      SayPresent(address);
      heard = Hear(word);
      if (word.ping() == 0) continue;
      out.set_pong(word.ping());
      if (!stream->Write(out)) break;
    }
  }
  if (!heard.ok()) context->TryCancel();
  const grpc::Status status = stream->Finish();
  {
    const std::lock_guard lock(mutex_);
    call_ = nullptr;
  }
  return heard.ok() ? Status(FromGrpcStatus(status, "the coordinator")) : heard;
}

// Error: this node is revoked.
Status MeshMember::Hear(const v1::CoordinatorWord& word) {
  std::set<std::string> revoked;
  for (const std::string& id : word.revoked()) {
    if (IsId(id) && revoked.size() < kMaxRevoked) revoked.insert(id);
  }
  const bool mine = revoked.contains(credentials_->self().id);
  if (credentials_->SetRevoked(revoked)) {
    on_revoked_();
    const Status kept = WriteFileAtomically(RevokedPath(options_.folder),
                                            fmt::format("{}\n", fmt::join(revoked, "\n")));
    if (!kept.ok()) spdlog::warn("who is revoked was not kept: {}", kept.error().message);
  }
  if (!mine) return OkStatus();
  return FailedPrecondition("this node was revoked: it is no longer part of the mesh");
}

Status MeshMember::RenewIfDue(v1::Pairing::Stub& stub) {
  const OwnIdentity own = credentials_->own();
  if (own.not_after_unix_s - UnixNowS() > kRenewDays * kSecondsPerDay) return OkStatus();
  const std::unique_ptr<grpc::ClientContext> context = MakeContext();
  context->set_deadline(std::chrono::system_clock::now() +
                        std::chrono::milliseconds(kCallTimeoutMs));
  v1::RenewReply reply;
  const grpc::Status status = stub.Renew(context.get(), v1::RenewRequest(), &reply);
  {
    const std::lock_guard lock(mutex_);
    call_ = nullptr;
  }
  if (!status.ok()) return FromGrpcStatus(status, "the coordinator");
  ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificate(reply.certificate()));
  ASSIGN_OR_RETURN(const PeerIdentity identity, facts.Identity());
  ASSIGN_OR_RETURN(const std::string public_key, PublicKeyOf(own.key_pem));
  RETURN_IF_ERROR(CheckIssuedBy(reply.certificate(), own.authority_pem));
  if (identity != own.self || facts.public_key != public_key) {
    return FailedPrecondition("the new certificate is for somebody else");
  }
  RETURN_IF_ERROR(
      StoreIdentity(options_.folder, options_.machine, reply.certificate(), own.authority_pem));
  credentials_->Renew(reply.certificate(), facts.not_after_unix_s);
  spdlog::info("the certificate was renewed");
  return OkStatus();
}

}  // namespace shoal
