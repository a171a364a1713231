// A node's end of proto/pairing.proto: joining a mesh with a pairing code, and being a member from
// then on: saying where it is, hearing who is revoked, renewing its certificate.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "net/address.h"
#include "net/identity/credentials.h"
#include "net/identity/pairing_code.h"
#include "proto/pairing.grpc.pb.h"

namespace shoal {

// The coordinator of a node's mesh, kept in coordinator.json beside the node's identity.
struct CoordinatorContact {
  static constexpr size_t kMostAddresses = 16;
  std::string id;
  std::vector<Address> addresses;  // where it was last comes first
};

// Errors: kNotFound if the folder has none; damaged.
Result<CoordinatorContact> LoadContact(const std::string& folder);
Status StoreContact(const std::string& folder, const CoordinatorContact& contact);

// The ids that the coordinator last called revoked, kept there too, for a start without it.
std::set<std::string> LoadRevoked(const std::string& folder);

// Half of `backoff_ms` to all of it: so that the nodes of a mesh do not come back in step.
int Jittered(int backoff_ms);

// Joins the mesh of `code` and stores identity and contact in `folder`; whatever identity was there
// before is replaced, but for its key. Returns the name that the mesh gave it. An answer that is
// lost is asked for again; if none comes, the node may be a member, and to join with the same code
// from the same folder, which has the key, makes it that one. Blocks for 5 s for each address of
// the code and for 25 s more at most. Errors: no coordinator reached; not the one that made the
// code; the code is refused; its answer is not from the authority.
Result<std::string> JoinMesh(const PairingCode& code, const std::string& name,
                             const std::string& folder, const std::string& machine);

struct MemberOptions {
  CoordinatorContact coordinator;
  std::string folder;   // of the identity
  std::string machine;  // its mark
  std::string listen;   // HOST:PORT as bound
  uint64_t instance = 0;
};

// Thread rule: runs a thread of its own; both callbacks come on it.
class MeshMember {
 public:
  // `on_revoked()` is called after `credentials` got another list of revoked members; `on_refused`
  // once, when the mesh does not want this node, which is then over.
  MeshMember(MemberOptions options, std::shared_ptr<Credentials> credentials,
             std::function<void()> on_revoked, std::function<void(Error)> on_refused);
  ~MeshMember();

 private:
  void MemberThreadMain();
  std::vector<Address> SeekAddresses() const;
  bool Connect(grpc::Channel& channel);
  Status Attend(v1::Pairing::Stub& stub, const Address& address);
  // Where the coordinator is, or that it is not, when that changes. Where it is will be tried first
  // at the next start.
  void SayPresent(const Address& address);
  void SayAbsent(const std::vector<Address>& addresses);
  Status Hear(const v1::CoordinatorWord& word);
  Status RenewIfDue(v1::Pairing::Stub& stub);
  std::unique_ptr<grpc::ClientContext> MakeContext();
  bool Pause(int timeout_ms);  // false: stopping

  const MemberOptions options_;
  CoordinatorContact contact_;                      // the thread's alone, as is present_
  const std::shared_ptr<Credentials> credentials_;  // shared with servers and channels
  const std::function<void()> on_revoked_;
  const std::function<void(Error)> on_refused_;

  std::optional<bool> present_;  // the coordinator, as the log has it

  std::mutex mutex_;  // guards the three below
  std::condition_variable changed_;
  grpc::ClientContext* call_ = nullptr;  // in progress
  bool stop_ = false;

  std::thread thread_;
};

}  // namespace shoal
