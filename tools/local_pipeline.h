// A pipeline of one stage in this process: the same engine and the same stage as across nodes, with
// no gRPC in the token path.
//
// Thread rule: runs the stage on a thread of its own; Submit from any thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "base/result.h"
#include "coordinator/pipeline.h"
#include "model/transformer/stage.h"

namespace shoal {

class LocalPipeline final : public Pipeline {
 public:
  // `stage` and `listener` outlive the pipeline.
  LocalPipeline(Epoch epoch, Stage& stage, PipelineListener& listener);
  // Drops what has not run yet.
  ~LocalPipeline() override;

  Status Submit(Step step) override;

 private:
  void StageThreadMain();

  const Epoch epoch_;
  Stage& stage_;
  PipelineListener& listener_;
  std::mutex mutex_;  // guards the next two
  std::condition_variable changed_;
  std::deque<Step> steps_;  // bounded by the scheduler's steps in flight
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace shoal
