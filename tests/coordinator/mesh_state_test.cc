// Proves that what a coordinator remembers is read as it was written, that files of older builds
// are read too, and that a damaged one is refused with the cause.
#include "coordinator/service/mesh_state.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace shoal {
namespace {

// Without what later builds added.
std::string Old(const std::string& more = "") {
  return R"({"version":1,"model":"/m.gguf","identity":"0101","epoch":7,)"
         R"("nodes":[{"name":"a","address":"unix:/a"}],"stages":[{"node":0,"begin":0,"end":2}])" +
         more + "}";
}

std::string WhyRefused(const std::string& text) {
  const Result<MeshState> state = MeshStateFromJson(text);
  if (state.ok()) return "";
  EXPECT_EQ(state.error().code, ErrorCode::kDataLoss);
  return state.error().message;
}

TEST(MeshStateTest, ReadsWhatItWrote) {
  MeshState state;
  state.model_path = "/m.gguf";
  state.model_identity = "0101";
  state.wish = "plan=spread split= nodes=";
  state.all_members = true;
  state.epoch = 7;
  state.nodes = {{"a", "unix:/a"}, {"b", "relay:abc:7701"}};
  state.stages = {{1, {0, 2}}, {0, {2, 4}}};
  state.options = {{"--context", "4096"}, {"--model-id", "a \"name\"\n"}, {"--wire", "f16"}};
  const Result<MeshState> again = MeshStateFromJson(MeshStateToJson(state));
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(again->options, state.options);
  EXPECT_EQ(MeshStateToJson(*again), MeshStateToJson(state));
}

TEST(MeshStateTest, ReadsFilesOfOlderBuilds) {
  const Result<MeshState> state = MeshStateFromJson(Old());
  ASSERT_TRUE(state.ok()) << state.error().message;
  EXPECT_EQ(state->nodes.size(), 1U);
  EXPECT_EQ(state->wish, "");
  EXPECT_FALSE(state->all_members);
  EXPECT_TRUE(state->options.empty());
}

TEST(MeshStateTest, RefusesOptionsThatAreNoText) {
  for (const char* options : {R"({"--context":4096})", R"({"--context":["4096"]})",
                              R"({"--context":null})", R"(["--context","4096"])", "null", "7"}) {
    SCOPED_TRACE(options);
    EXPECT_NE(WhyRefused(Old(std::string(R"(,"options":)") + options)), "");
  }
}

TEST(MeshStateTest, RefusesStagesThatDoNotFit) {
  const std::string twice = R"({"name":"a","address":"unix:/a"})";
  std::string text = Old();
  EXPECT_NE(WhyRefused(text.replace(text.find(twice), twice.size(), twice + "," + twice))
                .find("node a stands twice"),
            std::string::npos);
  text = Old();
  EXPECT_NE(WhyRefused(text.replace(text.find("\"end\":2"), 7, "\"end\":4294967298")), "");
}

}  // namespace
}  // namespace shoal
