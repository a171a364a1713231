// `shoal cluster export`: measures running nodes and the links between them, and writes what it
// found as a cluster file, to plan and simulate with.
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "coordinator/service/measure_cluster.h"
#include "tools/cluster_file.h"
#include "tools/commands.h"
#include "tools/terminal.h"

namespace shoal {

namespace {

struct Options {
  std::vector<std::string> nodes;  // [NAME=]ADDRESS
  std::string model;
  std::string output;
  bool refresh = false;
};

// "NAME=ADDRESS", or an address that is its own name.
Result<MeshNode> ParseNode(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) {
    ASSIGN_OR_RETURN(Address address, ParseAddress(text));
    return MeshNode{text, std::move(address)};
  }
  ASSIGN_OR_RETURN(Address address, ParseAddress(text.substr(equals + 1)));
  if (equals == 0) return InvalidArgument(fmt::format("--node {}: the name is empty", text));
  return MeshNode{text.substr(0, equals), std::move(address)};
}

Status Export(const Options& options) {
  RETURN_IF_ERROR(InitLogging("shoal", "warn"));
  MeasureOptions measure;
  measure.refresh = options.refresh;
  for (const std::string& text : options.nodes) {
    ASSIGN_OR_RETURN(MeshNode node, ParseNode(text));
    measure.nodes.push_back(std::move(node));
  }
  if (!options.model.empty()) {
    ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(options.model));
    ASSIGN_OR_RETURN(measure.target, ReadProfileTarget(file, TensorType::kF16));
  }
  ProgressLine progress;
  ASSIGN_OR_RETURN(const Cluster cluster,
                   MeasureCluster(measure, SteadyClock(),
                                  [&](const std::string& line) { progress.Show(line); }));
  progress.Clear();
  const std::string text =
      WriteCluster(cluster, fmt::format("{} nodes, measured", cluster.device_count()));
  if (options.output.empty()) {
    std::fputs(text.c_str(), stdout);
    return OkStatus();
  }
  std::ofstream file(options.output, std::ios::binary);
  file << text;
  file.close();
  return file ? OkStatus() : Status(InvalidArgument(options.output + ": cannot be written"));
}

}  // namespace

void AddClusterCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* cluster = app.add_subcommand("cluster", "Describe a cluster of running nodes");
  cluster->require_subcommand(1);
  CLI::App* command = cluster->add_subcommand(
      "export", "Measure nodes and the links between them, and write a cluster file");
  command
      ->add_option("--node", options->nodes,
                   "[NAME=]ADDRESS of a running node (HOST:PORT or unix:/PATH), once per node")
      ->required();
  command->add_option("--model", options->model,
                      "GGUF file whose types and layer to measure (default: common ones)");
  command->add_option("-o,--output", options->output, "File to write (default: stdout)");
  command->add_flag("--refresh", options->refresh,
                    "Measure nodes anew, even if they remember a measurement");
  command->callback([options, &exit_code] {
    const Status done = Export(*options);
    if (!done.ok()) exit_code = Fail("cluster export", done.error());
  });
}

}  // namespace shoal
