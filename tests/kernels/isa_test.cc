// Proves the choice of an instruction set: the default, each name that this CPU runs, and both
// errors with what they must say.
#include "kernels/isa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace shoal::kernels {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(SupportedIsas, BeginWithTheReference) {
  const std::vector<Isa> isas = SupportedIsas();
  ASSERT_FALSE(isas.empty());
  EXPECT_EQ(isas.front(), Isa::kReference);
  EXPECT_TRUE(std::is_sorted(isas.begin(), isas.end()));
}

TEST(ChooseIsa, TakesTheFastestUnlessForced) {
  const auto chosen = ChooseIsa("");
  ASSERT_TRUE(chosen.ok());
  EXPECT_EQ(*chosen, SupportedIsas().back());
}

TEST(ChooseIsa, TakesWhatIsForcedIfItRunsHere) {
  const std::vector<Isa> supported = SupportedIsas();
  for (const Isa isa : AllIsas()) {
    SCOPED_TRACE(IsaName(isa));
    const auto chosen = ChooseIsa(IsaName(isa));
    if (std::find(supported.begin(), supported.end(), isa) != supported.end()) {
      ASSERT_TRUE(chosen.ok());
      EXPECT_EQ(*chosen, isa);
    } else {
      ASSERT_FALSE(chosen.ok());
      EXPECT_EQ(chosen.error().code, ErrorCode::kFailedPrecondition);
      EXPECT_THAT(chosen.error().message,
                  AllOf(HasSubstr(std::string(IsaName(isa))), HasSubstr("they can run reference"),
                        HasSubstr("SHOAL_ISA")));
    }
  }
}

TEST(ChooseIsa, NamesTheChoicesForAnUnknownName) {
  for (const char* name : {"sse9", "AVX2", "avx2 ", "avx"}) {
    const auto chosen = ChooseIsa(name);
    ASSERT_FALSE(chosen.ok()) << name;
    EXPECT_EQ(chosen.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(chosen.error().message,
                AllOf(HasSubstr(std::string("\"") + name + "\""),
                      HasSubstr("reference, avx2, avxvnni, avx512vnni, neon, dotprod, i8mm")));
  }
}

}  // namespace
}  // namespace shoal::kernels
