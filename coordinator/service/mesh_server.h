// The coordinator's gRPC server that nodes dial: pairing and presence. Follows the roster on the
// disk, so that what a command changes there works within kRosterPollMs.
//
// Thread rule: runs a thread of its own; every function is safe from any thread.
#pragma once

#include <grpcpp/server.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "base/file_lock.h"
#include "base/result.h"
#include "coordinator/service/mesh_authority.h"
#include "coordinator/service/pairing_service.h"
#include "net/address.h"

namespace shoal {

constexpr int kRosterPollMs = 200;

struct MeshServerOptions {
  Address listen;
  std::function<void(const Member&)> on_arrival;  // on threads of the server's
};

class MeshServer {
 public:
  // `authority` outlives it. Errors: another process serves this mesh already (kUnavailable); the
  // address is in use or not ours.
  static Result<std::unique_ptr<MeshServer>> Start(const MeshServerOptions& options,
                                                   MeshAuthority& authority);
  ~MeshServer();

  // With the port that was bound.
  const Address& address() const { return address_; }

 private:
  MeshServer(MeshAuthority& authority, FileLock lock)
      : authority_(authority), lock_(std::move(lock)) {}
  void RosterThreadMain();

  MeshAuthority& authority_;
  const FileLock lock_;
  Address address_;
  std::unique_ptr<PairingService> pairing_;
  std::unique_ptr<grpc::Server> server_;

  std::mutex mutex_;  // guards stop_
  std::condition_variable changed_;
  bool stop_ = false;
  std::thread roster_thread_;
};

// Where the process that serves this mesh now listens. Error: there is none.
Result<Address> RunningMeshServer(const MeshAuthority& authority);

// Notes a new pairing code in the roster and returns its text. `addresses` are where the mesh
// server is reached.
Result<std::string> IssuePairingCode(const MeshAuthority& authority,
                                     std::vector<Address> addresses);

// Where others reach a server that listens on `listen`: that address, or for all interfaces (host
// 0.0.0.0 or ::) those of this machine, best first, at most kMaxCodeAddresses.
std::vector<Address> ReachableAddresses(const Address& listen);

}  // namespace shoal
