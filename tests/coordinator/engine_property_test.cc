// Proves that every request ends exactly once, whatever happens in whatever order: random sequences
// of starts, answers, cancellations, lost pipelines and answers that come twice.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <memory>
#include <optional>
#include <ostream>
#include <utility>
#include <vector>

#include "coordinator/engine.h"
#include "tests/coordinator/engine_recorder.h"

namespace shoal {
namespace {

struct EngineEvent {
  enum Kind { kStart, kAnswer, kCancel, kLose, kStale };
  Kind kind = kStart;
  int32_t number = 0;  // tokens of a prompt, a token, or which session
  int32_t most = 1;    // max_tokens, and what the sink takes
};

std::ostream& operator<<(std::ostream& out, const EngineEvent& event) {
  constexpr const char* kNames[] = {"start", "answer", "cancel", "lose", "stale"};
  return out << kNames[event.kind] << "(" << event.number << ", " << event.most << ")";
}

rc::Gen<EngineEvent> AnyEngineEvent() {
  return rc::gen::exec([] {
    EngineEvent event;
    event.kind = *rc::gen::weightedElement<EngineEvent::Kind>({{4, EngineEvent::kStart},
                                                               {8, EngineEvent::kAnswer},
                                                               {2, EngineEvent::kCancel},
                                                               {1, EngineEvent::kLose},
                                                               {1, EngineEvent::kStale}});
    event.number = *rc::gen::inRange(0, 70);
    event.most = *rc::gen::inRange(1, 12);
    return event;
  });
}

// What a sequence of events does to an engine; every started request must end exactly once.
struct EngineRun {
  struct Started {
    SessionId id;
    std::shared_ptr<RecordingSink> sink;
    bool cancelled = false;
    uint64_t epoch = 0;
  };

  EngineRun() { Attach(); }
  void Attach() {
    pipeline = std::make_shared<RecordingPipeline>();
    engine.Attach(pipeline, {Epoch{++epoch}, 3, 160});
  }
  void Apply(const EngineEvent& event) {
    clock.AdvanceNs(1);
    switch (event.kind) {
      case EngineEvent::kStart: Start(event); break;
      case EngineEvent::kAnswer: Answer(event.number % 10); break;
      case EngineEvent::kCancel:
        if (started.empty()) break;
        started[static_cast<size_t>(event.number) % started.size()].cancelled = true;
        engine.Cancel(started[static_cast<size_t>(event.number) % started.size()].id);
        break;
      case EngineEvent::kLose:
        engine.OnLost(Epoch{epoch}, Unavailable("lost"));
        for (const Started& one : started) RC_ASSERT(one.sink->finishes == 1);
        Attach();
        break;
      case EngineEvent::kStale:
        if (last_answered) engine.OnResult(shoal::Answer(*last_answered, 9));
        break;
    }
    for (const Started& one : started) Check(one);
  }
  void Start(const EngineEvent& event) {
    const auto sink = std::make_shared<RecordingSink>(static_cast<size_t>(event.most));
    const auto id = engine.Start(Request(event.number, 12 - event.most, sink));
    if (id.ok()) {
      started.push_back({*id, sink, false, epoch});
    } else {
      RC_ASSERT(sink->finishes == 0);
    }
  }
  void Answer(int32_t token) {
    if (pipeline->steps.empty()) return;
    last_answered = std::move(pipeline->steps.front());
    pipeline->steps.pop_front();
    engine.OnResult(shoal::Answer(*last_answered, token));
  }
  void Check(const Started& one) const {
    const RecordingSink& sink = *one.sink;
    RC_ASSERT(sink.finishes <= 1);
    RC_ASSERT(sink.calls_after_end == 0);
    for (const int32_t token : sink.tokens) RC_ASSERT(token != kEndId);
    if (sink.finishes == 0) return;
    RC_ASSERT(sink.error.has_value() == (sink.reason == FinishReason::kError));
    RC_ASSERT(sink.reason != FinishReason::kCancelled || one.cancelled);
    RC_ASSERT(sink.reason != FinishReason::kError || one.epoch < epoch);
    RC_ASSERT(sink.stats.answer_tokens == static_cast<int32_t>(sink.tokens.size()));
    const int64_t total = sink.stats.queued_ns + sink.stats.prefill_ns + sink.stats.decode_ns;
    RC_ASSERT(total >= 0 && total <= clock.NowNs());
  }

  FakeClock clock;
  Engine engine{SmallOptions(), clock};
  std::shared_ptr<RecordingPipeline> pipeline;
  uint64_t epoch = 0;
  std::optional<Step> last_answered;
  std::vector<Started> started;
};

RC_GTEST_PROP(EngineProperty, EveryRequestEndsExactlyOnce, ()) {
  EngineRun run;
  for (const EngineEvent& event : *rc::gen::container<std::vector<EngineEvent>>(AnyEngineEvent())) {
    run.Apply(event);
  }
  while (!run.pipeline->steps.empty()) run.Answer(5);
  for (const EngineRun::Started& one : run.started) {
    RC_ASSERT(one.sink->finishes == 1);
    run.Check(one);
  }
  const EngineStatus status = run.engine.status();
  RC_ASSERT(status.running == 0 && status.queued == 0);
}

}  // namespace
}  // namespace shoal
