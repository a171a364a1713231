// The feed-forward half of a block: of all rows alike, or of each row's experts.
#include <algorithm>

#include "model/transformer/block.h"

namespace shoal {

// Calls body(group, first, last) for units [first, last) of each group's `units`, all groups as one
// parallel loop.
template <typename Body>
void BlockRunner::ForEachUnit(const std::vector<FfnGroup>& groups, int64_t units, Body&& body) {
  const int64_t items = static_cast<int64_t>(groups.size()) * units;
  pool_.ParallelFor(items, GrainFor(items, pool_.threads(), 1), [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t first = begin % units;
      const int64_t last = std::min(units, first + end - begin);
      body(groups[static_cast<size_t>(begin / units)], first, last);
      begin += last - first;
    }
  });
}

// normed = feed-forward of normed, which Normalize made ready.
void BlockRunner::FeedForward(const LayerWeights& weights, int64_t rows) {
  if (!routing_) {
    all_rows_[0].slots = static_cast<int32_t>(rows);
    RunFfn(weights.ffn, all_rows_, normed_.data());
    return;
  }
  Route(weights, rows);
  RunFfn(weights.ffn, routing_->groups(), expert_rows_);
  AddExperts(rows);
}

// Chooses each row's experts and makes the rows, one copy per expert, the next matmuls' input.
void BlockRunner::Route(const LayerWeights& weights, int64_t rows) {
  RunMatMuls({{&weights.router, router_logits_}}, rows);
  ForEachRow(rows, [&](int64_t row) {
    float* logits = router_logits_ + row * config_.experts;
    if (!weights.router_bias.empty()) {
      kernels_.add(logits, weights.router_bias.data(), config_.experts);
    }
    routing_->Choose(row, logits);
  });
  routing_->AssignSlots(rows);
  const int64_t dim = config_.model_dim;
  FormatSet formats;
  formats.Add(weights.ffn[0].gate.type);
  formats.Add(weights.ffn[0].up.type);
  activations_.Start(expert_rows_, dim, formats);
  ForEachRow(routing_->slots(), [&](int64_t slot) {
    std::copy_n(normed_.data() + routing_->RowOf(slot) * dim, dim, expert_rows_ + slot * dim);
    activations_.QuantizeRow(slot);
  });
}

// out [slots, model_dim] = down * activation(gate, up) of each group's slots. Each part of the
// first loop computes the same rows of gate and up and joins them while they are in its cache.
void BlockRunner::RunFfn(const std::vector<FfnWeights>& ffn, const std::vector<FfnGroup>& groups,
                         float* out) {
  ForEachUnit(groups, MatMul{&ffn[0].up, up_}.units(),
              [&](const FfnGroup& group, int64_t first, int64_t last) {
                GateAndUp(ffn[static_cast<size_t>(group.ffn)], group, first * kernels::kRowUnit,
                          std::min<int64_t>(config_.ffn_dim, last * kernels::kRowUnit));
              });
  const int64_t slots = groups.back().first_slot + groups.back().slots;
  FormatSet formats;
  formats.Add(ffn[0].down.type);
  activations_.Start(config_.family.gated ? gate_ : up_, config_.ffn_dim, formats);
  ForEachRow(slots, [&](int64_t slot) { activations_.QuantizeRow(slot); });
  ForEachUnit(groups, MatMul{&ffn[0].down, out}.units(),
              [&](const FfnGroup& group, int64_t first, int64_t last) {
                Down(ffn[static_cast<size_t>(group.ffn)], group, first * kernels::kRowUnit,
                     std::min<int64_t>(config_.model_dim, last * kernels::kRowUnit), out);
              });
}

// Values [first, last) of the group's slots.
void BlockRunner::GateAndUp(const FfnWeights& ffn, const FfnGroup& group, int64_t first,
                            int64_t last) {
  const Rows rows = {group.first_slot, group.slots};
  if (ffn.gate.rows != 0) MultiplyRows({&ffn.gate, gate_}, first, last, rows);
  MultiplyRows({&ffn.up, up_}, first, last, rows);
  for (int64_t slot = rows.first; slot < rows.first + rows.count; ++slot) {
    const int64_t at = slot * config_.ffn_dim + first;
    Activate(ffn, first, last - first, gate_ + at, up_ + at);
  }
}

// Joins `count` values of gate and up from value `first` on, in gate; or in up, if there is no
// gate.
void BlockRunner::Activate(const FfnWeights& ffn, int64_t first, int64_t count, float* gate,
                           float* up) const {
  if (!ffn.gate_bias.empty()) kernels_.add(gate, ffn.gate_bias.data() + first, count);
  if (!ffn.up_bias.empty()) kernels_.add(up, ffn.up_bias.data() + first, count);
  if (!config_.family.gated) {
    kernels_.gelu(up, count);
    return;
  }
  switch (config_.family.activation) {
    case Activation::kSilu: return kernels_.silu_multiply(gate, up, count);
    case Activation::kGelu: return kernels_.gelu_multiply(gate, up, count);
    case Activation::kClampedSwiglu: return kernels_.clamped_swiglu(gate, up, count);
  }
}

// Values [first, last) of the group's slots of out.
void BlockRunner::Down(const FfnWeights& ffn, const FfnGroup& group, int64_t first, int64_t last,
                       float* out) const {
  const Rows rows = {group.first_slot, group.slots};
  MultiplyRows({&ffn.down, out}, first, last, rows);
  if (ffn.down_bias.empty()) return;
  for (int64_t slot = rows.first; slot < rows.first + rows.count; ++slot) {
    kernels_.add(out + slot * config_.model_dim + first, ffn.down_bias.data() + first,
                 last - first);
  }
}

// normed = the sum of each row's experts by weight, in order of rank.
void BlockRunner::AddExperts(int64_t rows) {
  const int64_t dim = config_.model_dim;
  ForEachRow(rows, [&](int64_t row) {
    float* sum = normed_.data() + row * dim;
    std::fill_n(sum, dim, 0.0F);
    for (int32_t rank = 0; rank < routing_->used(); ++rank) {
      const int64_t slot = routing_->SlotOf(row, rank);
      kernels_.add_scaled(sum, routing_->WeightOf(row, rank), expert_rows_ + slot * dim, dim);
    }
  });
}

}  // namespace shoal
