// The gate for what nodes say they measured.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "coordinator/model_shape.h"
#include "net/link_probe.h"
#include "partitioner/cluster.h"
#include "proto/control.pb.h"

namespace shoal {

// Writes the layer and the types to measure; without a target, the node takes those of common
// models.
void TargetToMessage(const ProfileTarget& target, v1::ProfileRequest& request);

// Errors (kInvalidArgument, naming the device, the field and the value): types unknown or more than
// there are, and what CheckCluster refuses.
Result<DeviceProfile> DeviceFromMessage(const std::string& name, const v1::ProfileMessage& message);

// Errors (kInvalidArgument): a time that is negative, endless or not a number, a rate outside what
// CheckCluster allows.
Status CheckMeasurement(const LinkMeasurement& link, const std::string& peer);

}  // namespace shoal
