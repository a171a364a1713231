// Python's operators on values: truth, equality, order, arithmetic, containment, subscripts and
// iteration. What Python answers with an exception is an Error.
#pragma once

#include <compare>
#include <functional>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "model/text/jinja_heap.h"
#include "model/text/jinja_value.h"

namespace shoal::jinja {

bool Truthy(const Value& value);
// kFailedPrecondition with the value's own message. REQUIRES value.undefined().
Error UndefinedError(const Value& value);

// Unordered where one is NaN. REQUIRES both numeric().
std::partial_ordering CompareNumbers(const Value& a, const Value& b);
Result<bool> Equal(Heap& heap, const Value& a, const Value& b);
// `a < b`
Result<bool> Less(Heap& heap, const Value& a, const Value& b);

enum class CompareOp { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };
Result<bool> Compare(Heap& heap, CompareOp op, const Value& a, const Value& b);
Result<bool> Contains(Heap& heap, const Value& container, const Value& item);

enum class BinaryOp { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
Result<Value> Binary(Heap& heap, BinaryOp op, const Value& a, const Value& b);
Result<Value> Negate(const Value& value);
Result<Value> Plus(const Value& value);

// len(); fails for what has none.
Result<Int> Length(const Value& value);
// `object[key]`; kMissing for a missing key or index and for an object that cannot be subscripted
// so (Python's LookupError and TypeError, which templates see as undefined).
Result<Value> Subscript(Heap& heap, const Value& object, const Value& key);
// `object[start:stop:step]`, kNone for what is not given.
Result<Value> Slice(Heap& heap, const Value& object, const Value& start, const Value& stop,
                    const Value& step);

bool Iterable(const Value& value);
// A source of the items of any iterable; fails for others.
Result<IteratorObject::Source> Iterate(Heap& heap, const Value& value);
Result<std::vector<Value>> ToVector(Heap& heap, const Value& value);

// `<` and the like as HTML entities, as Markup; the text of what is Markup already stays.
Result<Value> Escape(Heap& heap, const Value& value);

}  // namespace shoal::jinja
