// Elementary functions whose bits are the same on every machine: polynomials with explicit fma,
// evaluated in the order written. libm's exp, sin, cos, log and pow differ between C libraries and
// CPUs, so nothing that touches a logit or a sampled token may call them. (sqrt, division and fma
// are exact by IEEE 754 and may be used as they are.)
//
// ExpF and TanhF are the specification of every vector version in the kernel tables.
#pragma once

namespace shoal::kernels {

// e^x. Exactly +0 below about -87.34 (no denormal detours: results under FLT_MIN are flushed to 0),
// +inf above about 88.72, 1 at 0, NaN for NaN. Error at most 1 unit in the last place.
float ExpF(float x);

// tanh(x). The sign is x's, also of zero; at most 1 in size; NaN for NaN. Error at most 2 units in
// the last place.
float TanhF(float x);

// Double precision, for tables and sampling: error at most 1e-15 relative (absolute for Sin, Cos,
// whose arguments satisfy |x| <= 1e9).
double Exp(double x);
double Log(double x);                      // REQUIRES x > 0
double Sin(double x);                      // REQUIRES |x| <= 1e9
double Cos(double x);                      // REQUIRES |x| <= 1e9
double Pow(double base, double exponent);  // REQUIRES base > 0

}  // namespace shoal::kernels
