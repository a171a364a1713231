#include "coordinator/service/mesh_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/atomic_file.h"
#include "coordinator/service/json_number.h"

namespace shoal {

namespace {

using Json = nlohmann::json;

constexpr int kVersion = 1;

Status CheckStages(const MeshState& state) {
  std::set<std::string> names;
  for (const MeshState::Node& node : state.nodes) {
    if (!names.insert(node.name).second) {
      return DataLoss(fmt::format("node {} stands twice", node.name));
    }
  }
  int32_t layer = 0;
  for (const Placement& stage : state.stages) {
    if (stage.device < 0 || static_cast<size_t>(stage.device) >= state.nodes.size()) {
      return DataLoss(fmt::format("a stage on node {} of {}", stage.device, state.nodes.size()));
    }
    if (stage.layers.begin != layer || stage.layers.end <= layer ||
        stage.layers.end > MeshState::kMaxLayers) {
      return DataLoss(fmt::format("a stage of layers [{}, {}), expected one from {}",
                                  stage.layers.begin, stage.layers.end, layer));
    }
    layer = stage.layers.end;
  }
  return OkStatus();
}

// What fits in no int32_t is -1, which no index or layer is.
int32_t IndexFrom(const Json& json) {
  const int64_t number = WholeNumber(json);
  return number == static_cast<int32_t>(number) ? static_cast<int32_t>(number) : -1;
}

MeshState Parse(const Json& json) {
  MeshState state;
  state.model_path = json.at("model").get<std::string>();
  state.model_identity = json.at("identity").get<std::string>();
  state.wish = json.value("wish", "");
  state.all_members = json.value("all_members", false);
  state.epoch = json.at("epoch").get_ref<const Json::number_unsigned_t&>();
  for (const Json& node : json.at("nodes")) {
    state.nodes.push_back(
        {node.at("name").get<std::string>(), node.at("address").get<std::string>()});
  }
  for (const Json& stage : json.at("stages")) {
    state.stages.push_back(
        {IndexFrom(stage.at("node")), {IndexFrom(stage.at("begin")), IndexFrom(stage.at("end"))}});
  }
  state.options = json.value("options", state.options);
  return state;
}

}  // namespace

std::string MeshStateToJson(const MeshState& state) {
  Json nodes = Json::array();
  for (const MeshState::Node& node : state.nodes) {
    nodes.push_back({{"name", node.name}, {"address", node.address}});
  }
  Json stages = Json::array();
  for (const Placement& stage : state.stages) {
    stages.push_back(
        {{"node", stage.device}, {"begin", stage.layers.begin}, {"end", stage.layers.end}});
  }
  const Json json = {{"version", kVersion},
                     {"model", state.model_path},
                     {"identity", state.model_identity},
                     {"wish", state.wish},
                     {"all_members", state.all_members},
                     {"epoch", state.epoch},
                     {"nodes", std::move(nodes)},
                     {"stages", std::move(stages)},
                     {"options", state.options}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<MeshState> MeshStateFromJson(std::string_view text) {
  MeshState state;
  try {
    const Json json = Json::parse(text);
    if (WholeNumber(json.at("version")) != kVersion) {
      return DataLoss(fmt::format("version {}, expected {}", json.at("version").dump(), kVersion));
    }
    if (json.at("nodes").size() > MeshState::kMaxNodes ||
        json.at("stages").size() > MeshState::kMaxLayers) {
      return DataLoss(fmt::format("{} nodes and {} stages, the limits are {} and {}",
                                  json.at("nodes").size(), json.at("stages").size(),
                                  MeshState::kMaxNodes, MeshState::kMaxLayers));
    }
    state = Parse(json);
  } catch (const Json::exception& error) {
    return DataLoss(fmt::format("not the state of a mesh: {}", error.what()));
  }
  RETURN_IF_ERROR(CheckStages(state));
  return state;
}

std::string MeshStatePath(const std::string& state_folder) { return state_folder + "/mesh.json"; }

Result<MeshState> ReadMeshState(const std::string& state_folder) {
  const std::string path = MeshStatePath(state_folder);
  ASSIGN_OR_RETURN(const std::string text, ReadFileUpTo(path, MeshState::kMaxBytes));
  Result<MeshState> state = MeshStateFromJson(text);
  if (!state.ok()) return state.error().WithContext(path);
  return state;
}

Status WriteMeshState(const std::string& state_folder, const MeshState& state) {
  return WriteFileAtomically(MeshStatePath(state_folder), MeshStateToJson(state));
}

}  // namespace shoal
