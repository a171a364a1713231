#include "tools/local_pipeline.h"

#include <utility>

#include "base/clock.h"

namespace shoal {

LocalPipeline::LocalPipeline(Epoch epoch, Stage& stage, PipelineListener& listener)
    : epoch_(epoch), stage_(stage), listener_(listener), thread_([this] { StageThreadMain(); }) {}

LocalPipeline::~LocalPipeline() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Status LocalPipeline::Submit(Step step) {
  {
    const std::lock_guard lock(mutex_);
    if (stop_) return Unavailable("this process is shutting down");
    steps_.push_back(std::move(step));
  }
  changed_.notify_one();
  return OkStatus();
}

void LocalPipeline::StageThreadMain() {
  while (true) {
    Step step;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || !steps_.empty(); });
      if (stop_) return;
      step = std::move(steps_.front());
      steps_.pop_front();
    }
    StepResult result;
    const Status ran = stage_.Run(step, result, [] { return SteadyClock().NowNs(); });
    if (!ran.ok()) {
      {
        const std::lock_guard lock(mutex_);
        stop_ = true;
      }
      listener_.OnLost(epoch_, ran.error());
      return;
    }
    listener_.OnResult(std::move(result));
  }
}

}  // namespace shoal
