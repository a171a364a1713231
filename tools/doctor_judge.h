// What goes wrong in practice, judged from facts: what each means and what to do about it. Pure;
// tools/doctor_probe finds the facts.
#pragma once

#include "tools/doctor_facts.h"
#include "tools/doctor_finding.h"

namespace shoal {

DoctorFindings Judge(const DoctorFacts& facts);

}  // namespace shoal
