#include "tools/simulator/stage_cost.h"

#include <algorithm>

#include "partitioner/cost_model.h"

namespace shoal {

namespace {

constexpr double kUnknown = -1;

double Known(std::vector<double>& table, int32_t index, auto&& make) {
  double& value = table[static_cast<size_t>(index)];
  if (value < 0) value = make(index);
  return value;
}

size_t WindowIndex(const std::vector<int32_t>& windows, int32_t window) {
  return static_cast<size_t>(std::find(windows.begin(), windows.end(), window) - windows.begin());
}

}  // namespace

std::vector<int32_t> AttentionWindows(const ModelShape& model) {
  std::vector<int32_t> windows;
  for (const LayerShape& layer : model.layers) {
    if (WindowIndex(windows, layer.attention_window) == windows.size()) {
      windows.push_back(layer.attention_window);
    }
  }
  return windows;
}

void StepLoad::Set(const Step& step, const std::vector<int32_t>& windows) {
  tokens = samples = 0;
  decode_positions.assign(windows.size(), 0);
  prefill_positions.assign(windows.size(), 0);
  for (const Slice& slice : step.slices) {
    tokens += slice.token_count;
    if (slice.output == Output::kSample) ++samples;
    const bool decode = slice.token_count == 1;
    const double positions = slice.position + (decode ? 0 : slice.token_count / 2.0);
    std::vector<double>& sums = decode ? decode_positions : prefill_positions;
    for (size_t i = 0; i < windows.size(); ++i) {
      const double seen = windows[i] == 0 ? positions : std::min<double>(positions, windows[i]);
      sums[i] += slice.token_count * seen;
    }
  }
}

StageCost::StageCost(const PlanProblem& problem, int32_t device, StageRange range)
    : problem_(problem), device_(device), range_(range) {
  const ModelShape& model = problem.model;
  const DeviceProfile& profile = problem.cluster.devices[static_cast<size_t>(device)];
  step_s_ = profile.step_s;
  const int32_t most = std::min(problem.workload.step_token_budget, StepLimits::kMaxTokens);
  const auto counts = static_cast<size_t>(most) + 1;
  layers_s_.assign(counts, kUnknown);
  if (range.end == model.layer_count()) head_s_.assign(counts, kUnknown);

  const std::vector<int32_t> windows = AttentionWindows(model);
  decode_attention_s_.assign(windows.size(), 0);
  prefill_attention_s_.assign(windows.size(), 0);
  if (!profile.given_layer_s.empty()) return;
  // Of attention alone: what a position more costs.
  for (int32_t i = range.begin; i < range.end; ++i) {
    const LayerShape& layer = model.layers[static_cast<size_t>(i)];
    const size_t window = WindowIndex(windows, layer.attention_window);
    const auto macs = static_cast<double>(layer.attention_macs_per_position);
    const double decode = profile.attention_decode_macs_per_s;
    const double prefill = profile.attention_prefill_macs_per_s;
    if (decode > 0) decode_attention_s_[window] += macs / decode;
    if (prefill > 0 || decode > 0) {
      prefill_attention_s_[window] += macs / (prefill > 0 ? prefill : decode);
    }
  }
}

double StageCost::LayersSeconds(int32_t tokens) const {
  const auto device = static_cast<size_t>(device_);
  const DeviceProfile& profile = problem_.cluster.devices[device];
  const StepShape step{StepKind::kDecode, static_cast<double>(tokens), 0};
  double seconds = 0;
  for (int32_t i = range_.begin; i < range_.end; ++i) {
    const auto layer = static_cast<size_t>(i);
    seconds += profile.given_layer_s.empty()
                   ? LayerSeconds(profile, problem_.model.layers[layer], step)
                   : profile.given_layer_s[layer] * tokens;
  }
  return seconds;
}

double StageCost::HeadSeconds(int32_t samples) const {
  const DeviceProfile& profile = problem_.cluster.devices[static_cast<size_t>(device_)];
  if (!profile.given_layer_s.empty()) return 0;
  double seconds = 0;
  for (const WeightGroup& group : problem_.model.head) {
    seconds += WeightsSeconds(profile, group, samples);
  }
  return seconds;
}

double StageCost::Seconds(const StepLoad& load) {
  double seconds = step_s_;
  if (load.tokens == 0) return seconds;
  seconds += Known(layers_s_, load.tokens, [this](int32_t n) { return LayersSeconds(n); });
  if (!head_s_.empty() && load.samples > 0) {
    seconds += Known(head_s_, load.samples, [this](int32_t n) { return HeadSeconds(n); });
  }
  for (size_t i = 0; i < decode_attention_s_.size(); ++i) {
    seconds += load.decode_positions[i] * decode_attention_s_[i] +
               load.prefill_positions[i] * prefill_attention_s_[i];
  }
  return seconds;
}

}  // namespace shoal
