// The part of tools/doctor_judge.h about the mesh: who this device is there, its coordinator, and
// the peers that it was told to dial. Pure.
#pragma once

#include "tools/doctor_facts.h"
#include "tools/doctor_finding.h"

namespace shoal {

void JudgeIdentities(const DoctorFacts& facts, DoctorFindings& into);
void JudgeCoordinator(const DoctorFacts& facts, DoctorFindings& into);
void JudgePeers(const DoctorFacts& facts, DoctorFindings& into);

}  // namespace shoal
