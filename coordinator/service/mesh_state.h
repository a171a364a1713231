// What a coordinator remembers of the last plan that served, so that the next start serves it again
// at once: the model, the nodes, where the layers were, and options of the command line. One file
// of JSON in the state folder.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "partitioner/plan.h"

namespace shoal {

struct MeshState {
  struct Node {
    std::string name;
    std::string address;
  };
  static constexpr int32_t kMaxNodes = 4096;
  static constexpr int32_t kMaxLayers = 4096;
  static constexpr int64_t kMaxBytes = 4 << 20;  // of the file

  std::string model_path;
  std::string model_identity;  // as ToHex writes it
  std::string wish;            // how the user wanted layers divided, as MeshOptions has it
  bool all_members = false;    // over whichever are there; else over the nodes that were named
  uint64_t epoch = 0;
  std::vector<Node> nodes;
  std::vector<Placement> stages;  // devices are indices of nodes; cover the model's layers in order
  // By name, each as it was given. Whoever uses one checks it as if it were given anew.
  std::map<std::string, std::string> options;
};

std::string MeshStateToJson(const MeshState& state);
// Errors (kDataLoss): what is no such state, with what is wrong.
Result<MeshState> MeshStateFromJson(std::string_view text);

std::string MeshStatePath(const std::string& state_folder);
// The file in the state folder. Errors: those of ReadFileUpTo (kNotFound: none yet) and of
// MeshStateFromJson, with the path.
Result<MeshState> ReadMeshState(const std::string& state_folder);
Status WriteMeshState(const std::string& state_folder, const MeshState& state);

}  // namespace shoal
