// What `shoal doctor` says of one thing that it looked at.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace shoal {

enum class DoctorLevel { kGood, kWarning, kProblem };

struct DoctorFinding {
  std::string check;
  DoctorLevel level = DoctorLevel::kGood;
  std::string says;
  std::string advice;  // empty where all is well
};
using DoctorFindings = std::vector<DoctorFinding>;

inline DoctorFinding Good(std::string check, std::string says) {
  return {std::move(check), DoctorLevel::kGood, std::move(says), ""};
}
inline DoctorFinding Warning(std::string check, std::string says, std::string advice) {
  return {std::move(check), DoctorLevel::kWarning, std::move(says), std::move(advice)};
}
inline DoctorFinding Problem(std::string check, std::string says, std::string advice) {
  return {std::move(check), DoctorLevel::kProblem, std::move(says), std::move(advice)};
}

}  // namespace shoal
