#include "tools/simulator/request_log.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace shoal {

int64_t RequestLog::Add(const TraceRequest& wanted, int32_t context_tokens) {
  Request request;
  request.prompt_tokens = wanted.prompt_tokens;
  // The last token needs no room: it is not sent again.
  request.output_tokens =
      std::clamp(context_tokens - wanted.prompt_tokens + 1, 1, wanted.output_tokens);
  request.arrival_s = wanted.arrival_s;
  requests_.push_back(request);
  ++open_;
  return static_cast<int64_t>(requests_.size()) - 1;
}

void RequestLog::Start(int64_t number, double now_s) {
  Request& request = at(number);
  if (std::exchange(request.started, true)) return;
  request.first_step_s = now_s;
}

void RequestLog::AddToken(int64_t number, double now_s) {
  Request& request = at(number);
  if (request.answered++ == 0) request.first_token_s = now_s;
  request.last_token_s = now_s;
  ++tokens_;
  if (now_s >= begin_s_ && now_s < end_s_) ++measured_tokens_;
}

void RequestLog::End(int64_t number, Request::State state, double now_s) {
  CHECK(std::exchange(at(number).state, state) == Request::State::kOpen, "requests end once");
  CHECK(state != Request::State::kDone || at(number).answered == at(number).output_tokens,
        "what is done has all its tokens");
  --open_;
  last_end_s_ = std::max(last_end_s_, now_s);
}

void RequestLog::FailOpen(double now_s) {
  for (size_t i = 0; i < requests_.size(); ++i) {
    if (requests_[i].state != Request::State::kOpen) continue;
    End(static_cast<int64_t>(i), Request::State::kFailed, now_s);
  }
}

void RequestLog::Report(SimulationReport& report) const {
  std::vector<double> ttft, tpot, queueing, latency;
  for (const Request& request : requests_) {
    report.done += request.state == Request::State::kDone;
    report.failed += request.state == Request::State::kFailed;
    report.rejected += request.state == Request::State::kRejected;
    if (request.state != Request::State::kDone || request.arrival_s < begin_s_) continue;
    ttft.push_back(request.first_token_s - request.arrival_s);
    queueing.push_back(request.first_step_s - request.arrival_s);
    latency.push_back(request.last_token_s - request.arrival_s);
    if (request.answered < 2) continue;
    tpot.push_back((request.last_token_s - request.first_token_s) / (request.answered - 1));
  }
  report.arrived = static_cast<int64_t>(requests_.size());
  report.ttft_s = Distribution::Of(std::move(ttft));
  report.tpot_s = Distribution::Of(std::move(tpot));
  report.queueing_s = Distribution::Of(std::move(queueing));
  report.latency_s = Distribution::Of(std::move(latency));
  report.measured_s = std::max(0.0, std::min(end_s_, last_end_s_) - begin_s_);
  report.output_tokens = measured_tokens_;
  report.all_output_tokens = tokens_;
  if (report.measured_s > 0) {
    report.tokens_per_s = static_cast<double>(measured_tokens_) / report.measured_s;
  }
}

}  // namespace shoal
