// The scalar kernels: the specification of every bit (kernels/kernel_table.h says what each does).
#pragma once

#include "kernels/kernel_table.h"

namespace shoal::kernels::reference {

#include "kernels/table_functions.inc"

}  // namespace shoal::kernels::reference
