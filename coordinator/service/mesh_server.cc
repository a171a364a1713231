#include "coordinator/service/mesh_server.h"

#include <fmt/format.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/atomic_file.h"
#include "base/log.h"
#include "base/wall_clock.h"
#include "net/channel.h"
#include "net/host_addresses.h"

namespace shoal {

namespace {

constexpr int kMaxServerThreads = 512;  // one for each node that is here
constexpr int kCloseMs = 200;
constexpr int64_t kRenewEveryS = 3600;  // if it is due by then
constexpr int64_t kMaxAddressBytes = 512;

constexpr CallRule kRules[] = {
    {"/shoal.v1.Pairing/Join", Callers::kAnyone},
    {"/shoal.v1.Pairing/", Callers::kNodes},
};

std::string LockPath(const MeshAuthority& authority) { return authority.folder() + "/server.lock"; }
std::string ListenPath(const MeshAuthority& authority) {
  return authority.folder() + "/server.address";
}

}  // namespace

Result<std::unique_ptr<MeshServer>> MeshServer::Start(const MeshServerOptions& options,
                                                      MeshAuthority& authority) {
  Result<FileLock> lock = FileLock::Try(LockPath(authority));
  if (!lock.ok()) return lock.error().WithContext("this mesh is being served already");
  std::unique_ptr<MeshServer> server(new MeshServer(authority, std::move(*lock)));
  server->address_ = options.listen;
  server->pairing_ = std::make_unique<PairingService>(authority, UnixNowS, options.on_arrival);
  grpc::ServerBuilder builder;
  int port = 0;
  ConfigureServer(builder, options.listen, Credentials::ForServing(authority.credentials(), kRules),
                  &port);
  grpc::ResourceQuota quota;
  quota.SetMaxThreads(kMaxServerThreads);
  builder.SetResourceQuota(quota);
  builder.RegisterService(server->pairing_.get());
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || port == 0) {
    return Unavailable(
        fmt::format("cannot listen for nodes on {}: the address is in use or not ours",
                    options.listen.ToString()));
  }
  server->address_.port = static_cast<uint16_t>(port);
  RETURN_IF_ERROR(WriteFileAtomically(ListenPath(authority), server->address_.ToString()));
  server->roster_thread_ = std::thread([raw = server.get()] { raw->RosterThreadMain(); });
  return server;
}

MeshServer::~MeshServer() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (roster_thread_.joinable()) roster_thread_.join();
  pairing_->Shutdown();
  if (server_ != nullptr) {
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(kCloseMs));
  }
}

void MeshServer::RosterThreadMain() {
  int64_t seen = 0;
  int64_t warned = 0;  // a version that could not be read
  int64_t renew_next_s = UnixNowS() + kRenewEveryS;
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, std::chrono::milliseconds(kRosterPollMs),
                            [this] { return stop_; })) {
    if (const int64_t now_s = UnixNowS(); now_s >= renew_next_s) {
      renew_next_s = now_s + kRenewEveryS;
      const Status renewed = authority_.RenewOwn(now_s);
      if (!renewed.ok()) spdlog::warn("the certificate: {}", renewed.error().message);
    }
    const int64_t version = authority_.roster().Version();
    if (version == seen) continue;
    const Result<bool> changed = authority_.RefreshRevoked();
    if (!changed.ok()) {
      if (std::exchange(warned, version) != version) spdlog::warn("{}", changed.error().message);
      continue;
    }
    seen = version;
    if (*changed) pairing_->AnnounceRevoked();
  }
}

Result<Address> RunningMeshServer(const MeshAuthority& authority) {
  if (FileLock::Try(LockPath(authority)).ok()) return NotFound("nobody serves this mesh");
  ASSIGN_OR_RETURN(const std::string text, ReadFileUpTo(ListenPath(authority), kMaxAddressBytes));
  return ParseAddress(text);
}

Result<std::string> IssuePairingCode(const MeshAuthority& authority,
                                     std::vector<Address> addresses) {
  if (addresses.empty()) {
    return FailedPrecondition(
        "this machine has no address that others could dial: name one with --mesh-listen");
  }
  PairingCode code;
  code.addresses = std::move(addresses);
  code.addresses.resize(std::min(code.addresses.size(), kMaxCodeAddresses));
  code.pin = PinOf(authority.fingerprint());
  code.secret = MakePairingSecret();
  RETURN_IF_ERROR(authority.roster().Change([&](Roster& roster) {
    roster.desk.Issue(code.secret, UnixNowS());
    return OkStatus();
  }));
  return EncodePairingCode(code);
}

std::vector<Address> ReachableAddresses(const Address& listen) {
  if (listen.host != "0.0.0.0" && listen.host != "::") return {listen};
  std::vector<Address> found;
  for (const HostAddress& one : HostAddresses()) found.push_back({"", one.host, listen.port});
  if (found.size() > kMaxCodeAddresses) found.resize(kMaxCodeAddresses);
  return found;
}

}  // namespace shoal
