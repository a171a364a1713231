// The coordinator's control connection to one node: describe, prepare, connect, and the watch that
// tells at once when the node is gone.
//
// Thread rule: one thread at a time, except Cancel, SendHeartbeat, EndIfRevoked, last_heard_ns and
// progress_since (any thread).
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <atomic>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/sha256.h"
#include "coordinator/link_stall.h"
#include "coordinator/model_shape.h"
#include "coordinator/service/weights_supply.h"
#include "model/gguf/tensor_type.h"
#include "model/step/step.h"
#include "net/address.h"
#include "net/identity/credentials.h"
#include "net/link_client.h"
#include "net/link_probe.h"
#include "partitioner/cluster.h"
#include "proto/control.grpc.pb.h"

namespace shoal {

struct MeshNode {
  std::string name;
  Address address;                           // where the coordinator dials it
  Trust trust;                               // empty for a Unix socket
  std::optional<Address> peer_address = {};  // where other nodes dial it, if that differs

  const Address& address_for_peers() const { return peer_address ? *peer_address : address; }
  bool dials_out() const { return address_for_peers().is_relay(); }  // and is reached by a hub
};

struct NodeDescription {
  std::string name;  // what the mesh calls it
  std::string isa;
  int32_t threads = 0;
  int64_t memory_bytes = 0;
  bool memory_limited = false;  // by its user; else nodes of one machine share its memory
  double weight_bytes_per_s = 0;
  std::string host_id;
  uint64_t instance = 0;
  uint64_t highest_epoch = 0;  // that it has seen: it refuses this one and those below
  bool dials_out = false;      // and is reached through a hub
};

// A stage that a node may have to take over.
struct SpareStage {
  LayerRange layers;
  int32_t stage_index = 0;
  bool operator==(const SpareStage&) const = default;
};

struct ShardOrder {
  Epoch epoch;
  std::string model_path;
  Sha256Digest model_identity{};
  LayerRange layers;
  int32_t stage_index = 0;
  int64_t kv_tokens = 0;
  TensorType kv_type = TensorType::kF16;
  ActivationCodec codec;           // that steps come in
  std::vector<SpareStage> spares;  // to be held, too, where memory allows
  // For a node that has no file of the model: what it may get from here, and from others.
  WeightsOffer weights;
  bool fetch_only = false;  // what is missing of the weights, beside the plan that the node serves
  struct Peer {
    MeshNode node;
    int32_t member = 0;
    LayerRange layers;  // that it loads under the same epoch; none if empty
  };
  int32_t member = 0;
  std::vector<Peer> peers;
};

// How far a node is with a shard, in bytes: first what has to be fetched, then all of it is loaded.
struct ShardProgress {
  int64_t fetched = 0;
  int64_t to_fetch = 0;
  int64_t loaded = 0;
  int64_t to_load = 0;
};

// What ended a node's part in a plan.
enum class WatchEnd : uint8_t {
  kFailed,      // it says so; the cause may lie elsewhere
  kLinkBefore,  // it says that its link from the stage before is gone
  kLinkNext,    // or that to the next stage
  kLeaves,      // it says that it goes, and computes until the watch ends
  kGone,        // the connection is closed
};

class NodeLink {
 public:
  // With a channel to the node, over that; else over one of its own.
  NodeLink(const MeshNode& node, const Clock& clock,
           std::shared_ptr<grpc::Channel> channel = nullptr);
  // Ends the watch, which frees the node's plan.
  ~NodeLink();

  const MeshNode& node() const { return node_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  std::string label() const;  // "node NAME at ADDRESS" or how else it is reached, for messages

  // How long to wait for the node to come up, and for its answer.
  struct Patience {
    int connect_ms = 3000;
    int answer_ms = 20'000;  // includes the node's measurement of itself
  };
  // Changes nothing on the node.
  Result<NodeDescription> Describe(Patience patience);
  // Has the node measure itself, which may take seconds; `progress(done, total)` is called
  // meanwhile. Changes nothing on the node. Errors also for a profile that makes no sense.
  Result<DeviceProfile> Profile(const ProfileTarget& target, bool refresh,
                                const std::function<void(int32_t, int32_t)>& progress);
  // Has the node dial another one and measure the link. Changes nothing.
  Result<LinkMeasurement> ProbeLinkTo(const ProbeTarget& target);
  // Blocks until the shard is loaded, or fetched; `progress` is called several times a second.
  Status Prepare(const ShardOrder& order,
                 const std::function<void(const ShardProgress&)>& progress);
  // Has the node open the link to the next stage, or to the one before.
  Status ConnectTo(const LinkTarget& next) { return Connect(next, false); }
  Status ConnectBackTo(const LinkTarget& previous) { return Connect(previous, true); }

  // Starts the watch. `on_end(end, error)` is called on a thread of the link's own: once when the
  // connection is closed, and before that at most once for each thing that the node may say.
  Status Watch(Epoch epoch, std::function<void(WatchEnd, Error)> on_end);
  void SendHeartbeat();
  // Ends the watch of a node that was revoked since it began.
  void EndIfRevoked();
  int64_t last_heard_ns() const { return last_heard_ns_; }
  // As the node's last heartbeat said, if that came after a time.
  std::optional<StageProgress> progress_since(int64_t since_ns) const;
  // Makes blocked calls, and all later ones, fail soon.
  void Cancel();

 private:
  Status Connect(const LinkTarget& peer, bool previous);
  bool IsRevoked() const;
  bool IsMute(int timeout_ms) const;
  void NoteProgress(const v1::StageProgress& said);
  void WatchThreadMain();
  std::unique_ptr<grpc::ClientContext> MakeContext(int timeout_ms);
  Error Explain(const grpc::Status& status) const;

  const MeshNode node_;
  const Clock& clock_;
  std::shared_ptr<grpc::Channel> channel_;  // shared with gRPC's stub
  std::unique_ptr<v1::NodeControl::Stub> stub_;

  mutable std::mutex mutex_;  // guards the next five
  bool cancelled_ = false;
  grpc::ClientContext* call_ = nullptr;  // in progress
  uint64_t heartbeat_ = 0;
  StageProgress progress_;
  int64_t progress_at_ns_ = std::numeric_limits<int64_t>::min();

  Epoch epoch_;
  grpc::ClientContext watch_context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::Heartbeat, v1::NodeEvent>> watch_;
  std::function<void(WatchEnd, Error)> on_end_;
  std::atomic<int64_t> last_heard_ns_{0};
  std::thread watch_thread_;
};

}  // namespace shoal
