// A node's part of one plan while it lives: the stage, the links that steps come and go by, and the
// way to say that it is over. Ends once, for one reason.
//
// Thread rule: every function is safe from any; one thread computes, which is that of the link that
// steps come by: the caller of ServeSteps, or one of the plan's own after LinkPrevious.
#pragma once

#include <grpcpp/server_context.h>

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
#include "base/sha256.h"
#include "model/step/step.h"
#include "model/transformer/stage.h"
#include "net/identity/credentials.h"
#include "net/link_client.h"
#include "node/service/link_end.h"
#include "proto/control.pb.h"
#include "proto/pipeline.grpc.pb.h"

namespace shoal {

using WatchServerStream = grpc::ServerReaderWriter<v1::NodeEvent, v1::Heartbeat>;

class ActivePlan {
 public:
  // Steps come in `codec`. `stage` outlives its use by the plan (see WaitIdle).
  ActivePlan(Epoch epoch, const Sha256Digest& model_identity, ActivationCodec codec, Stage& stage);
  ~ActivePlan();

  Epoch epoch() const { return epoch_; }
  const Sha256Digest& model_identity() const { return model_identity_; }

  // Whether a dialling peer means this plan; the error says which values differ.
  Status Matches(const v1::LinkHello& hello) const;

  // Links to the next stage, or to the one before. Error: linked already, ended, there is no such
  // stage, or the dial's own.
  Status LinkNext(const LinkTarget& target);
  Status LinkPrevious(const LinkTarget& target);

  // Serves a link until it breaks or the plan ends; returns why. With a path, the link's messages
  // take a lane there.
  Status ServeSteps(LinkEnd& link, const std::optional<std::string>& lane_path);
  Status ServeResults(LinkEnd& link, const std::optional<std::string>& lane_path);
  // The next stage's, which wants steps in `codec`.
  Status ServeNext(LinkEnd& link, ActivationCodec codec,
                   const std::optional<std::string>& lane_path);
  // The heartbeat that named the plan has been read already.
  Status ServeWatch(grpc::ServerContext& context, WatchServerStream& stream,
                    uint64_t first_heartbeat);

  // Another member that has a part in the plan.
  void NotePeer(const std::string& id);
  // Ends the plan if one of them was revoked.
  void EndIfRevoked(const Credentials& credentials);

  bool ended();
  // Ends the plan: cancels every link. With a reason, the coordinator is told through Watch first,
  // and which link it is about.
  void End(const std::optional<Error>& reason, v1::NodeFailure::Link link = v1::NodeFailure::NONE);
  // Tells the coordinator that this node is to go, so that it plans without it. No effect where
  // nobody watches.
  void SayLeaving(const std::string& reason);
  // Blocks until no coordinator watches the plan, `timeout_ms` at most; false if one still does.
  bool WaitUnwatched(int timeout_ms);
  // After End: blocks until nobody computes with the stage, at most kCallTimeoutMs; false if
  // someone still does. A link that is stuck at a peer which reads no more may live on: it is done
  // with the stage.
  bool WaitIdle();

 private:
  // The next step; null: the link has ended.
  using StepSource = std::function<Result<const v1::StepMessage*>()>;
  Status RunSteps(const StepSource& next_step);
  void EndAfter(const Status& steps);  // that link, however it ended
  bool EndsSoon();
  Status RunStep(const v1::StepMessage& message);
  Status SendOn(const Step& step);
  bool HasDialledNext();
  void NoteReceived(const Step& step);
  void NoteSending(const Step& step);
  v1::StageProgress Progress();
  Status Compute(Step& step, StepResult& result);
  Status SendResult(StepResult result);
  Status ServeTaker(LinkEnd& link, ActivationCodec codec,
                    const std::optional<std::string>& lane_path);
  Status LetTake(LinkEnd& link, ActivationCodec codec, const std::optional<std::string>& lane_path);
  // Registers a link for cancellation by End; false if the plan has ended.
  bool Enter(LinkEnd& link);
  void Leave(LinkEnd& link);

  const Epoch epoch_;
  const Sha256Digest model_identity_;
  const ActivationCodec codec_;
  const LayerRange range_;
  const bool last_;      // of the model's stages
  const int32_t width_;  // of the activations that come in; 0: token ids come
  Stage& stage_;         // touched only while computing_

  std::mutex mutex_;  // guards the next twelve
  std::condition_variable changed_;
  bool ended_ = false;
  bool computing_ = false;
  bool has_steps_link_ = false;
  std::vector<LinkEnd*> links_;
  std::set<std::string> peers_;
  std::unique_ptr<LinkClient> next_;      // where this node dialled
  std::unique_ptr<LinkClient> previous_;  // likewise; steps_thread_ receives
  std::thread steps_thread_;
  v1::StageProgress progress_;    // but for its times
  int64_t waiting_since_ns_ = 0;  // for a step; 0: it computes, or none is expected yet
  int64_t sending_since_ns_ = 0;  // the last step that was sent; 0: none was

  std::mutex taker_mutex_;    // guards the next three; never taken with mutex_ held
  LinkEnd* taker_ = nullptr;  // who dialled to take what comes of steps: results, or steps
  ActivationCodec taker_codec_;
  v1::LinkMessage taken_;  // reused, so that sending allocates little

  std::mutex watch_mutex_;  // guards the two below and writes; never taken with mutex_ held
  std::condition_variable unwatched_;
  WatchServerStream* watch_ = nullptr;
  grpc::ServerContext* watch_context_ = nullptr;
};

}  // namespace shoal
