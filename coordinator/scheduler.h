// Continuous batching: decides which tokens of which sessions go into the next step. Pure: state
// and event in, state and step out; no clock, no I/O, no threads. The simulator drives this same
// class.
//
// A step takes one decode token of sessions that have one ready, in the order in which they got it,
// then prefill chunks of waiting prompts, oldest first, up to the token budget. What a step costs
// to form does not depend on how many sessions wait. Several steps may be in flight, so that all
// stages work; a prompt's chunks may be in flight together, since links keep order.
//
// Admission: a session is granted KV memory for prompt + max_tokens before its first chunk, rounded
// up to whole grants; those that do not fit wait in order of arrival.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "model/step/step.h"

namespace shoal {

struct SchedulerOptions {
  int32_t context_tokens = 0;       // the most a session may hold
  int32_t vocab_size = 0;           // prompt tokens are below it; 0: not checked
  int32_t prefill_chunk = 128;      // tokens of one prompt in one step
  int32_t step_token_budget = 256;  // tokens of all slices of one step
  int32_t max_running = 32;         // sessions that hold KV memory; see Scheduler
  int32_t max_queued = 256;         // sessions that wait for it
};

struct SessionRequest {
  SessionId session;
  std::vector<int32_t> prompt;
  int32_t answered_tokens =
      0;                   // at the prompt's end: the answer so far, when a session is replayed
  int32_t max_tokens = 0;  // that may still be answered
  SamplingParams sampling;
  bool logits = false;
};

class Scheduler {
 public:
  // The steps in flight together have room for a token of each running session, so that none waits
  // for ever: where max_running is more than that, fewer run. REQUIRES max_running >= 1.
  explicit Scheduler(const SchedulerOptions& options);

  // A pipeline is there: steps carry `epoch`, at most `max_in_flight` at once, twice as many while
  // no session has come to decoding; sessions share `kv_tokens`. REQUIRES no sessions (Reset
  // first).
  void Attach(Epoch epoch, int32_t max_in_flight, int64_t kv_tokens);
  // The pipeline is gone, and all sessions with it.
  void Reset();

  // What is wrong with a request whatever the pipeline: an empty prompt, one that is longer than
  // the context (both lengths named), or a token outside the vocabulary.
  Status Check(const SessionRequest& request) const;
  // Errors: kInvalidArgument (as of Check; larger than all KV memory, which waiting cannot change),
  // kResourceExhausted (queue full).
  Status Add(SessionRequest request);
  // Ends a session in any state; its memory is free once the close has gone out with a step.
  void Remove(SessionId session);

  // The next step, or nothing if nothing is ready or enough is in flight. The caller submits it.
  std::optional<Step> NextStep();

  // A step has come back whole. REQUIRES it to be one of those in flight (else
  // kFailedPrecondition).
  Status OnStepDone(StepId step);
  // The session goes on with `token`, which the last stage sampled; ignored for removed sessions
  // and where no step can have asked for it. Returns false if the session has no room for another
  // token: it must be removed.
  bool OnToken(SessionId session, int32_t token);

  bool knows(SessionId session) const { return sessions_.count(session) != 0; }
  // Whether the session has got its KV memory.
  bool admitted(SessionId session) const;
  int32_t running() const { return running_; }
  int32_t queued() const { return static_cast<int32_t>(waiting_.size()); }
  int32_t in_flight() const { return static_cast<int32_t>(in_flight_.size()); }
  int64_t kv_tokens_granted() const { return kv_tokens_granted_; }

 private:
  struct Session {
    SessionRequest request;
    int32_t granted_tokens = 0;          // 0: waiting
    int32_t next_position = 0;           // of the next token to send
    std::optional<int32_t> ready_token;  // to decode in the next step
    int32_t answer_tokens = 0;
    bool opened = false;

    int32_t prompt_left() const {  // not sent yet
      return std::max(0, static_cast<int32_t>(request.prompt.size()) - next_position);
    }
  };
  struct SessionHash {
    size_t operator()(SessionId id) const { return std::hash<uint64_t>()(id.value); }
  };
  int64_t MostRunning() const;
  bool HasRoomForStep() const;
  void AdmitWaiting();
  void AddDecodeSlices(Step& step, int32_t& budget);
  void AddPrefillSlices(Step& step, int32_t& budget);
  Slice MakeSlice(Session& session, std::vector<int32_t> tokens, Output output, Step& step);

  SchedulerOptions options_;
  Epoch epoch_;
  int32_t max_in_flight_ = 0;  // 0: no pipeline
  int64_t kv_tokens_ = 0;
  int64_t kv_tokens_granted_ = 0;
  int32_t running_ = 0;
  uint64_t next_step_ = 1;
  std::unordered_map<SessionId, Session, SessionHash> sessions_;
  std::deque<SessionId> waiting_;     // for memory, in order of arrival
  std::deque<SessionId> prefilling_;  // have memory and prompt left to send, in order of arrival
  std::deque<SessionId> ready_;       // have a token to decode, in the order in which it came
  std::vector<SessionId> closes_;     // to go out with the next step
  std::set<StepId> in_flight_;
};

}  // namespace shoal
