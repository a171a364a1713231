// Proves that results carry values, also such that can only be moved, and errors, through the
// macros and with context, and that reading the wrong one is caught.
#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

namespace shoal {
namespace {

Result<std::unique_ptr<int>> Make(int value) {
  if (value < 0) return InvalidArgument("value: expected at least 0, got " + std::to_string(value));
  return std::make_unique<int>(value);
}

Status CheckEven(int value) {
  if (value % 2 != 0) return FailedPrecondition("odd");
  return OkStatus();
}

Result<std::string> Describe(int value, int* steps) {
  RETURN_IF_ERROR(CheckEven(value));
  ++*steps;
  ASSIGN_OR_RETURN(const std::unique_ptr<int> made, Make(value));
  ++*steps;
  std::string text;
  ASSIGN_OR_RETURN(text, Result<std::string>(std::to_string(*made)));  // an existing variable
  return text;
}

TEST(Result, MacrosPassValuesAndErrorsOn) {
  int steps = 0;
  EXPECT_EQ(Describe(4, &steps).value(), "4");
  EXPECT_EQ(steps, 2);
  steps = 0;
  EXPECT_EQ(Describe(3, &steps).error().code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(steps, 0);
  const auto negative = Describe(-2, &steps);
  EXPECT_EQ(steps, 1);
  EXPECT_EQ(negative.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(negative.error().message, "value: expected at least 0, got -2");
}

TEST(Result, EvaluatesItsExpressionOnce) {
  int calls = 0;
  const auto count = [&calls]() -> Status {
    ++calls;
    return OkStatus();
  };
  const auto run = [&]() -> Status {
    RETURN_IF_ERROR(count());
    return OkStatus();
  };
  EXPECT_TRUE(run().ok());
  EXPECT_EQ(calls, 1);
}

TEST(Result, HandsItsValueOver) {
  auto made = Make(7);
  ASSERT_TRUE(made.ok());
  EXPECT_TRUE(static_cast<bool>(made));
  EXPECT_EQ(**made, 7);
  const std::unique_ptr<int> taken = std::move(made).value();
  EXPECT_EQ(*taken, 7);
}

TEST(Result, ContextStandsInFront) {
  const Error error = NotFound("no such key").WithContext("model.gguf").WithContext("part 2");
  EXPECT_EQ(error.code, ErrorCode::kNotFound);
  EXPECT_EQ(error.message, "part 2: model.gguf: no such key");
}

TEST(Result, EveryCodeHasItsName) {
  std::set<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
    names.insert(ErrorCodeName(static_cast<ErrorCode>(code)));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(ErrorCode::kInternal) + 1);
  EXPECT_FALSE(names.contains("unknown"));
}

TEST(ResultDeathTest, ReadingTheWrongOneIsCaught) {
  EXPECT_DEATH(static_cast<void>(Make(-1).value()), "expected at least 0, got -1");
  EXPECT_DEATH(static_cast<void>(Make(1).error()), "holds a value");
  EXPECT_DEATH(static_cast<void>(OkStatus().error()), "is ok");
}

}  // namespace
}  // namespace shoal
