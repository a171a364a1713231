// Best-first search over partial plans, for objectives in which a sum and the slowest stage are
// weighed against each other by a maximum: a dynamic program cannot settle those, but one over a
// blend of the two bounds what each partial plan can become.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "partitioner/cut_graph.h"
#include "partitioner/search_costs.h"

namespace shoal {

// A box of plans and what is known of it. REQUIRES one size of a first part (least_first ==
// most_first).
struct LabelBox {
  SearchLimits limits;
  double least_prefill_s = 0;  // no plan of interest has a lower slowest stage or link
  double least_batch_s = 0;
  const UsedSpace* used = nullptr;
  const CutGraph* graph = nullptr;  // of the limits
  // By the total shares of their graphs: each bounds what remains.
  std::map<double, const Completions*> completions;
};

struct LabelResult {
  std::vector<GroupStage> path;  // the best of the box, if better than `below`
  double bound = kEndless;       // no plan of the box is better
  int64_t labels = 0;            // looked at
};

// Looks for a plan of the box whose value is less than `below`. After `max_labels` it gives up,
// with the bound it has.
LabelResult SearchLabels(const SearchCosts& costs, const LabelBox& box, double below,
                         int64_t max_labels);

}  // namespace shoal
