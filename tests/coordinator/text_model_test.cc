// Proves that a chat template which cannot be used costs a model its chats alone.
#include "coordinator/text_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/coordinator/tiny_text_model.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

TEST(TextModel, AChatTemplateThatDoesNotParseCostsChatsAlone) {
  const std::unique_ptr<TextModel> model = MakeTinyTextModel("{% nonsense %}");
  EXPECT_FALSE(model->tokenizer().EncodePlain("Hi", ParseSpecial::kNo).empty());
  const nlohmann::ordered_json context = {{"messages", nlohmann::ordered_json::array()}};
  const Result<std::string> chat = model->RenderChat(context, {2026, 1, 15});
  ASSERT_FALSE(chat.ok());
  EXPECT_EQ(chat.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(chat.error().message, HasSubstr("nonsense"));
  EXPECT_THAT(chat.error().message, HasSubstr("--raw"));
  EXPECT_TRUE(MakeTinyTextModel()->RenderChat(context, {2026, 1, 15}).ok());
}

}  // namespace
}  // namespace shoal
