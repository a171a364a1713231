// The constants of TanhF, for its scalar and vector versions: kernels/portable_math.cc says what
// each does.
#pragma once

namespace shoal::kernels::tanh_constants {

constexpr float kSmall = 0.625F;  // up to here tanh(z) is a polynomial, beyond it comes from ExpF
// tanh(z) = z + z^3 * P(z^2): minimax (relative error 4.5e-9), each coefficient rounded to float
// before the next was fitted.
constexpr float kC0 = -0x1.555532p-2F;
constexpr float kC1 = 0x1.1106f6p-3F;
constexpr float kC2 = -0x1.b835a4p-5F;
constexpr float kC3 = 0x1.51f8cep-6F;
constexpr float kC4 = -0x1.750ce2p-8F;

}  // namespace shoal::kernels::tanh_constants
