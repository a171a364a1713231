// A cluster as a TOML file: its devices, their networks, and where the coordinator runs. What the
// keys mean stands in docs/cluster-file.md. Pure but for ReadClusterFile.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "partitioner/cluster.h"
#include "partitioner/model_shape.h"

namespace shoal {

struct ClusterFile {
  std::string title;
  Cluster cluster;
  // Given by layers, for devices whose times are given by layers.
  std::optional<ModelShape> model;
};

// The name that links give the coordinator's endpoint. No device may have it.
constexpr std::string_view kCoordinatorName = "coordinator";

constexpr size_t kMaxClusterFileBytes = 16 << 20;
constexpr int32_t kMaxClusterDevices = 2000;

// Errors (kInvalidArgument): "FILE:LINE: KEY: what is wrong"; those of CheckCluster with the file.
// What it returns has passed CheckCluster.
Result<ClusterFile> ParseClusterFile(std::string_view text, const std::string& file);
// Errors: kNotFound, and those of ParseClusterFile.
Result<ClusterFile> ReadClusterFile(const std::string& path);

// A file that says the same: numbers to 12 digits, memory to the byte, profiles and networks
// written out. REQUIRES a
// cluster that passed CheckCluster.
std::string WriteCluster(const Cluster& cluster, const std::string& title);

}  // namespace shoal
