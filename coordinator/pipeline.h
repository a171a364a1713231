// What the engine needs of a pipeline of stages, however it is reached: over gRPC
// (coordinator/service) or in this process (tools/local_pipeline.h).
#pragma once

#include <cstdint>

#include "base/result.h"
#include "model/step/step.h"

namespace shoal {

// What the prepared stages can hold together.
struct PipelineLimits {
  Epoch epoch;
  int32_t stages = 1;
  int64_t kv_tokens = 0;  // of all sessions together, in every stage
  // Whether another one follows when it is lost: requests then wait for it and go on.
  bool replaceable = false;
};

class Pipeline {
 public:
  virtual ~Pipeline() = default;
  // Hands a step to the first stage. Steps arrive in the order of the calls. Does not wait for the
  // step to be computed. An error means that the pipeline is gone: OnLost follows or came before.
  // May be called from within OnResult.
  virtual Status Submit(Step step) = 0;
};

class PipelineListener {
 public:
  virtual ~PipelineListener() = default;
  // The last stage's answers, in the order of the steps.
  virtual void OnResult(StepResult result) = 0;
  // The pipeline of that epoch is gone for good; the error names the stage and the cause.
  virtual void OnLost(Epoch epoch, Error error) = 0;
};

}  // namespace shoal
