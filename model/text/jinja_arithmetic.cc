// Python's arithmetic on numbers, strings and sequences: the second half of jinja_ops.h.
#include <algorithm>
#include <cmath>
#include <limits>

#include "model/text/chat_template.h"
#include "model/text/jinja_format.h"
#include "model/text/jinja_ops.h"

namespace shoal::jinja {
namespace {

std::string_view Symbol(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd: return "+";
    case BinaryOp::kSubtract: return "-";
    case BinaryOp::kMultiply: return "*";
    case BinaryOp::kDivide: return "/";
    case BinaryOp::kFloorDivide: return "//";
    case BinaryOp::kModulo: return "%";
    case BinaryOp::kPower: return "** or pow()";
  }
  return "?";
}

Error Unsupported(BinaryOp op, const Value& a, const Value& b) {
  return Fail("unsupported operand type(s) for " + std::string(Symbol(op)) + ": '" +
              std::string(TypeName(a)) + "' and '" + std::string(TypeName(b)) + "'");
}

Error TooLarge() { return Fail("an integer of more than 128 bits"); }

Error ZeroDivision() { return Fail("division by zero"); }

Int FloorDivide(Int a, Int b) {
  const Int quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

// An integer unless its calculation has overflowed. The lowest one counts as an overflow: every
// integer of a template has a negative.
Result<Value> Checked(bool overflow, Int result) {
  constexpr Int kLowest = static_cast<Int>(static_cast<unsigned __int128>(1) << 127);
  if (overflow || result == kLowest) return TooLarge();
  return Value::Integer(result);
}

Result<Value> IntPower(Int base, Int exponent) {
  if (exponent < 0) {
    if (base == 0) return Fail("0.0 cannot be raised to a negative power");
    return Value::Float(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  Int result = 1;
  if (base == 0 || base == 1 || base == -1) {
    if (exponent == 0) return Value::Integer(1);
    return Value::Integer(base == -1 && exponent % 2 == 0 ? 1 : base);
  }
  if (exponent > 127) return TooLarge();
  for (Int i = 0; i < exponent; ++i) {
    if (__builtin_mul_overflow(result, base, &result)) return TooLarge();
  }
  return Checked(false, result);
}

Result<Value> IntBinary(BinaryOp op, Int a, Int b) {
  Int result = 0;
  bool overflow = false;
  switch (op) {
    case BinaryOp::kAdd: overflow = __builtin_add_overflow(a, b, &result); break;
    case BinaryOp::kSubtract: overflow = __builtin_sub_overflow(a, b, &result); break;
    case BinaryOp::kMultiply: overflow = __builtin_mul_overflow(a, b, &result); break;
    case BinaryOp::kDivide:
      if (b == 0) return ZeroDivision();
      return Value::Float(
          static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b)));
    case BinaryOp::kFloorDivide:
    case BinaryOp::kModulo:
      if (b == 0) return Fail("integer division or modulo by zero");
      if (op == BinaryOp::kFloorDivide) return Value::Integer(FloorDivide(a, b));
      return Value::Integer(a - FloorDivide(a, b) * b);
    case BinaryOp::kPower: return IntPower(a, b);
  }
  return Checked(overflow, result);
}

// The remainder with the sign of the divisor.
double FloatModulo(double a, double b) {
  double remainder = std::fmod(a, b);
  if (remainder != 0) {
    if ((b < 0) != (remainder < 0)) remainder += b;
  } else {
    remainder = std::copysign(0.0, b);
  }
  return remainder;
}

double FloatFloorDivide(double a, double b) {
  const double quotient = (a - FloatModulo(a, b)) / b;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

Result<Value> FloatBinary(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd: return Value::Float(a + b);
    case BinaryOp::kSubtract: return Value::Float(a - b);
    case BinaryOp::kMultiply: return Value::Float(a * b);
    case BinaryOp::kDivide:
      if (b == 0) return ZeroDivision();
      return Value::Float(a / b);
    case BinaryOp::kFloorDivide:
      if (b == 0) return Fail("float floor division by zero");
      return Value::Float(FloatFloorDivide(a, b));
    case BinaryOp::kModulo:
      if (b == 0) return Fail("float modulo");
      return Value::Float(FloatModulo(a, b));
    case BinaryOp::kPower: {
      if (a == 0 && b < 0) return Fail("0.0 cannot be raised to a negative power");
      if (a < 0 && std::isfinite(a) && std::isfinite(b) && std::floor(b) != b) {
        return Fail("a complex number, which templates cannot use");
      }
      const double power = std::pow(a, b);
      if (std::isinf(power) && std::isfinite(a) && std::isfinite(b)) {
        return Fail("a power too large for a float");
      }
      return Value::Float(power);
    }
  }
  return Value();
}

Result<Value> Concatenate(Heap& heap, const Value& a, const Value& b) {
  const bool markup_a = a.is(Type::kString) && a.as<StringObject>().markup;
  const bool markup_b = b.is(Type::kString) && b.as<StringObject>().markup;
  if (markup_a != markup_b) {
    ASSIGN_OR_RETURN(const Value left, Escape(heap, a));
    ASSIGN_OR_RETURN(const Value right, Escape(heap, b));
    return Concatenate(heap, left, right);
  }
  RETURN_IF_ERROR(heap.SpendText(a.text().size() + b.text().size()));
  std::string text;
  text.reserve(a.text().size() + b.text().size());
  text += a.text();
  text += b.text();
  return heap.String(std::move(text), markup_a);
}

Result<Value> AddSequences(Heap& heap, const Value& a, const Value& b) {
  std::vector<Value> items;
  RETURN_IF_ERROR(heap.SpendBytes((a.items().size() + b.items().size()) * sizeof(Value)));
  items.reserve(a.items().size() + b.items().size());
  items.insert(items.end(), a.items().begin(), a.items().end());
  items.insert(items.end(), b.items().begin(), b.items().end());
  return a.is(Type::kList) ? heap.List(std::move(items)) : heap.Tuple(std::move(items));
}

// `value` so many times over; REQUIRES a string, list or tuple.
Result<Value> Repeat(Heap& heap, const Value& value, Int times) {
  const size_t size =
      value.is(Type::kString) ? value.text().size() : value.items().size() * sizeof(Value);
  if (times > std::numeric_limits<int64_t>::max() || times < std::numeric_limits<int64_t>::min()) {
    return Fail("cannot fit 'int' into an index-sized integer");
  }
  // Beyond this it fails below, whatever the limits; before, the product cannot overflow.
  constexpr Int kMost = Int{1} << 32;
  const size_t count = size == 0 ? 0 : static_cast<size_t>(std::clamp(times, Int{0}, kMost));
  if (value.is(Type::kString)) {
    RETURN_IF_ERROR(heap.SpendText(size * count));
    std::string text;
    text.reserve(size * count);
    if (count > 0) text = value.text();
    while (text.size() < size * count) {
      text.append(text, 0, std::min(text.size(), size * count - text.size()));
    }
    return heap.String(std::move(text), value.as<StringObject>().markup);
  }
  RETURN_IF_ERROR(heap.SpendBytes(size * count));
  std::vector<Value> items;
  items.reserve(value.items().size() * count);
  for (size_t i = 0; i < count; ++i) {
    items.insert(items.end(), value.items().begin(), value.items().end());
  }
  return value.is(Type::kList) ? heap.List(std::move(items)) : heap.Tuple(std::move(items));
}

bool Repeatable(const Value& value) {
  return value.is(Type::kString) || value.is(Type::kList) || value.is(Type::kTuple);
}

}  // namespace

Result<Value> Binary(Heap& heap, BinaryOp op, const Value& a, const Value& b) {
  if (a.numeric() && b.numeric()) {
    return a.integral() && b.integral() ? IntBinary(op, a.integer(), b.integer())
                                        : FloatBinary(op, a.number(), b.number());
  }
  if (op == BinaryOp::kModulo && a.is(Type::kString)) return FormatPercent(heap, a, b);
  if (a.undefined()) return UndefinedError(a);
  if (b.undefined()) return UndefinedError(b);
  if (op == BinaryOp::kAdd) {
    if (a.is(Type::kString) && b.is(Type::kString)) return Concatenate(heap, a, b);
    const bool sequence = a.is(Type::kList) || a.is(Type::kTuple);
    if (sequence && a.type() == b.type()) return AddSequences(heap, a, b);
    if (a.is(Type::kString)) {
      return Fail("can only concatenate str (not \"" + std::string(TypeName(b)) + "\") to str");
    }
  }
  if (op == BinaryOp::kMultiply) {
    if (Repeatable(a) && b.integral()) return Repeat(heap, a, b.integer());
    if (Repeatable(b) && a.integral()) return Repeat(heap, b, a.integer());
  }
  return Unsupported(op, a, b);
}

Result<Value> Negate(const Value& value) {
  if (value.undefined()) return UndefinedError(value);
  if (value.integral()) return IntBinary(BinaryOp::kSubtract, 0, value.integer());
  if (value.is(Type::kFloat)) return Value::Float(-value.number());
  return Fail("bad operand type for unary -: '" + std::string(TypeName(value)) + "'");
}

Result<Value> Plus(const Value& value) {
  if (value.undefined()) return UndefinedError(value);
  if (value.integral()) return Value::Integer(value.integer());
  if (value.is(Type::kFloat)) return value;
  return Fail("bad operand type for unary +: '" + std::string(TypeName(value)) + "'");
}

}  // namespace shoal::jinja
