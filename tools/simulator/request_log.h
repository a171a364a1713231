// The requests of a simulation: what each asked for and got, and the figures made of them.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/simulator/options.h"
#include "tools/simulator/simulation_report.h"

namespace shoal {

struct Request {
  enum class State : uint8_t { kOpen, kDone, kFailed, kRejected };
  State state = State::kOpen;
  bool started = false;  // a step has worked on it
  int32_t prompt_tokens = 0;
  int32_t output_tokens = 0;  // that it will get
  int32_t answered = 0;       // that it got
  double arrival_s = 0;
  double first_step_s = 0;
  double first_token_s = 0;
  double last_token_s = 0;
};

class RequestLog {
 public:
  // Measured from `begin_s` to `end_s`.
  RequestLog(double begin_s, double end_s) : begin_s_(begin_s), end_s_(end_s) {}

  // Returns its number, from 0.
  int64_t Add(const TraceRequest& request, int32_t context_tokens);
  Request& at(int64_t number) { return requests_[static_cast<size_t>(number)]; }
  const Request& at(int64_t number) const { return requests_[static_cast<size_t>(number)]; }

  // A step works on it.
  void Start(int64_t number, double now_s);
  void AddToken(int64_t number, double now_s);
  // REQUIRES it to be open.
  void End(int64_t number, Request::State state, double now_s);
  void FailOpen(double now_s);
  int64_t open() const { return open_; }

  // Sets what concerns requests and tokens.
  void Report(SimulationReport& report) const;

 private:
  double begin_s_;
  double end_s_;
  std::vector<Request> requests_;
  int64_t open_ = 0;
  int64_t measured_tokens_ = 0;
  int64_t tokens_ = 0;
  double last_end_s_ = 0;
};

}  // namespace shoal
