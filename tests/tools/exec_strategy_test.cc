// Proves that a strategy program is asked, believed only as far as its answer is a plan, and never
// waited for beyond its time: with programs that answer, hang, print rubbish or too much, break
// constraints, fail, and do not exist.
#include "tools/exec_strategy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/temp_dir.h"
#include "tools/plan_json.h"

namespace shoal {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr milliseconds kPlenty{60'000};

PlanProblem Problem() {
  PlanProblem problem;
  LayerShape layer;
  layer.weights = {{"Q4_0", 1000, 2000, 1}};
  problem.model.layers.assign(10, layer);
  DeviceProfile device;
  device.memory_bytes = 1 << 20;
  device.speeds = {{"*", {{1, 1e9}}}};
  std::vector<DeviceProfile> devices;
  for (const char* name : {"left", "right"}) {
    device.name = name;
    devices.push_back(device);
  }
  problem.cluster = UniformCluster(std::move(devices), {.bytes_per_s = 1e9});
  return problem;
}

class ExecStrategyTest : public ::testing::Test {
 protected:
  // A shell script with this body.
  std::string Script(const std::string& body) {
    const std::string path = folder_.path() + "/strategy.sh";
    std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
    ::chmod(path.c_str(), 0700);
    return path;
  }
  Result<Plan> Ask(const std::string& body, milliseconds timeout = kPlenty) {
    return MakeExecStrategy(Script(body), timeout)->Place(Problem());
  }
  void ExpectRefused(const std::string& body, ErrorCode code, const std::string& what,
                     milliseconds timeout = kPlenty) {
    const Result<Plan> plan = Ask(body, timeout);
    ASSERT_FALSE(plan.ok()) << body;
    EXPECT_EQ(plan.error().code, code) << plan.error().message;
    EXPECT_THAT(plan.error().message, AllOf(HasSubstr("strategy.sh"), HasSubstr(what)));
  }

  TempDir folder_;
};

const std::string kAnswer =
    R"('{"placements": [{"device": "right", "layers": [0, 4]}, {"device": 0, "layers": [4, 10]}]}')";

TEST_F(ExecStrategyTest, TakesTheAnswerAsAPlan) {
  const Result<Plan> plan = Ask("cat >/dev/null; echo " + kAnswer);
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  ASSERT_EQ(plan->stages.size(), 2U);
  EXPECT_EQ(plan->stages[0].device, 1);
  EXPECT_EQ(plan->stages[1].layers, (StageRange{4, 10}));
  EXPECT_TRUE(plan->strategy.starts_with("exec:"));
}

TEST_F(ExecStrategyTest, GivesItTheProblem) {
  const std::string copy = folder_.path() + "/problem.json";
  ASSERT_TRUE(Ask("cat >" + copy + "; echo " + kAnswer).ok());
  std::ifstream stream(copy);
  EXPECT_EQ(nlohmann::json::parse(stream), ProblemToJson(Problem()));
}

TEST_F(ExecStrategyTest, NeedNotReadTheProblem) {
  EXPECT_TRUE(Ask("exec 0<&-; echo " + kAnswer).ok());
}

TEST_F(ExecStrategyTest, PassesArguments) {
  const std::string path = Script("cat >/dev/null; echo \"$1\" \"$2\"");
  const Result<Plan> plan = MakeExecStrategy(path + " one two", kPlenty)->Place(Problem());
  ASSERT_FALSE(plan.ok());
  EXPECT_THAT(plan.error().message, HasSubstr("not JSON"));
}

TEST_F(ExecStrategyTest, KillsWhatHangs) {
  const milliseconds soon{100};
  const auto hung = ErrorCode::kDeadlineExceeded;
  ExpectRefused("sleep 1000", hung, "100 ms", soon);
  ExpectRefused("sleep 1000 & wait", hung, "killed", soon);
  // It answers and closes its output, but does not end.
  ExpectRefused("echo " + kAnswer + "; exec >&-; sleep 1000", hung, "500 ms", milliseconds(500));
  // A child of it keeps the output open.
  ExpectRefused("echo " + kAnswer + "; sleep 1000 &", hung, "100 ms", milliseconds(100));
}

TEST_F(ExecStrategyTest, SaysWhatIsWrongWithTheAnswer) {
  const auto bad = ErrorCode::kInvalidArgument;
  const auto answer = [](const std::string& json) { return "cat >/dev/null; echo '" + json + "'"; };
  ExpectRefused(answer(""), bad, "not JSON");
  ExpectRefused(answer("Traceback"), bad, "not JSON");
  ExpectRefused(answer("[1]"), bad, "placements");
  ExpectRefused(answer(R"({"placements": 1})"), bad, "placements");
  ExpectRefused(answer(R"({"placements": [7]})"), bad, "placements[0]");
  ExpectRefused(answer(R"({"placements": [{"device": 7, "layers": [0, 10]}]})"), bad, "device 7");
  ExpectRefused(answer(R"({"placements": [{"device": "x", "layers": [0, 10]}]})"), bad, "'x'");
  ExpectRefused(answer(R"({"placements": [{"device": null, "layers": [0, 10]}]})"), bad, "name");
  ExpectRefused(answer(R"({"placements": [{"device": 0, "layers": [0, 1e9]}]})"), bad, "0 to 10");
  ExpectRefused(answer(R"({"placements": [{"device": 0, "layers": [0, 11]}]})"), bad, "0 to 10");
  ExpectRefused(answer(R"({"placements": [{"device": 0, "layers": [0]}]})"), bad, "two");
  ExpectRefused(answer(R"({"placements": []})"), bad, "no parts");
  ExpectRefused(answer(R"({"placements": [{"device": 0, "layers": [0, 9]}]})"), bad, "covers 9");
}

TEST_F(ExecStrategyTest, HoldsItToTheConstraints) {
  PlanProblem problem = Problem();
  problem.constraints.first = 0;
  const Result<Plan> plan =
      MakeExecStrategy(Script("cat >/dev/null; echo " + kAnswer), kPlenty)->Place(problem);
  ASSERT_FALSE(plan.ok());
  EXPECT_THAT(plan.error().message, HasSubstr("it must be on left"));
}

TEST_F(ExecStrategyTest, SaysHowItFailed) {
  ExpectRefused("cat >/dev/null; exit 1", ErrorCode::kUnavailable, "exit code 1");
  ExpectRefused("echo " + kAnswer + "; exit 3", ErrorCode::kUnavailable, "exit code 3");
  ExpectRefused("kill -SEGV $$", ErrorCode::kUnavailable, "signal 11");
  ExpectRefused("cat /dev/zero", ErrorCode::kResourceExhausted, "1048576");
  for (const char* command : {"/nowhere/strategy.sh", "no-such-program-strategy.sh", " "}) {
    EXPECT_FALSE(MakeExecStrategy(command, kPlenty)->Place(Problem()).ok()) << command;
  }
}

}  // namespace
}  // namespace shoal
