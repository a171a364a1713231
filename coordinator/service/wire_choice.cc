#include "coordinator/service/wire_choice.h"

#include <array>
#include <utility>

namespace shoal {

namespace {

constexpr double kWorthIt = 1.02;  // a less exact codec must save more than this
constexpr ActivationFormat kSmallest = ActivationFormat::kInt8;
constexpr std::array kMostExactFirst = {ActivationFormat::kF32, ActivationFormat::kF16};

int64_t ChargedBytes(ActivationFormat format, int64_t f32_bytes) {
  const auto width = static_cast<int32_t>(f32_bytes / static_cast<int64_t>(sizeof(float)));
  return EncodedBytes(format, 1, width);
}

bool IsAbout(const Prediction& slow, const Prediction& fast) {
  return slow.decode_s <= kWorthIt * fast.decode_s &&
         slow.first_token_s <= kWorthIt * fast.first_token_s &&
         kWorthIt * slow.tokens_per_s >= fast.tokens_per_s;
}

}  // namespace

void ChargeActivations(WireChoice choice, ModelShape& model) {
  const ActivationFormat format = choice ? choice->format : kSmallest;
  for (LayerShape& layer : model.layers) {
    layer.activation_bytes = ChargedBytes(format, layer.activation_bytes);
  }
}

Result<std::vector<ActivationCodec>> ChooseCodecs(WireChoice choice, const PlanProblem& problem,
                                                  const Plan& plan) {
  std::vector<ActivationCodec> codecs(plan.stages.size(), choice.value_or(ActivationCodec{}));
  if (choice) return codecs;
  PlanProblem charged = problem;
  ChargeActivations(choice, charged.model);
  const std::vector<Placement> placements = PlacementsOf(plan);
  ASSIGN_OR_RETURN(const Plan fastest, EvaluatePlan(charged, placements, plan.strategy));
  for (size_t stage = 1; stage < placements.size(); ++stage) {
    const auto before = static_cast<size_t>(placements[stage].layers.begin) - 1;
    const int64_t f32_bytes = problem.model.layers[before].activation_bytes;
    int64_t& sent = charged.model.layers[before].activation_bytes;
    const int64_t least = sent;
    codecs[stage].format = kSmallest;
    for (const ActivationFormat format : kMostExactFirst) {
      sent = ChargedBytes(format, f32_bytes);
      ASSIGN_OR_RETURN(const Plan slower, EvaluatePlan(charged, placements, plan.strategy));
      if (!IsAbout(slower.prediction, fastest.prediction)) continue;
      codecs[stage].format = format;
      break;
    }
    sent = least;
  }
  return codecs;
}

}  // namespace shoal
