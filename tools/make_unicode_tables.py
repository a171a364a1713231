"""make_unicode_tables.py > model/text/jinja_unicode_tables.cc

Writes the character classes and case mappings that Python's str methods use, as sorted ranges, from
the Python that runs it (3.11: Unicode 14).
"""
import sys
import unicodedata

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def ranges(holds):
    out = []
    for c in range(0x110000):
        if not holds(chr(c)):
            continue
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def emit_ranges(name, holds):
    found = ranges(holds)
    print(f"\nconst CharRange {name}[] = {{")
    emit(f"{{0x{a:X}, 0x{b:X}}}," for a, b in found)
    print("};")
    print(f"const size_t {name}Count = {len(found)};")


def emit(items):
    line = "   "
    for item in items:
        if len(line) + len(item) > 98:
            print(line)
            line = "   "
        line += " " + item
    if line.strip():
        print(line)


def emit_simple_case(name, convert):
    """One-to-one mappings as runs {first, last, stride, delta}."""
    runs = []
    for c in CODE_POINTS:
        to = convert(chr(c))
        if len(to) != 1 or ord(to) == c:
            continue
        delta = ord(to) - c
        last = runs[-1] if runs else None
        if last and last[3] == delta and c - last[1] in (1, 2):
            if last[0] == last[1]:
                last[2] = c - last[1]
            if c - last[1] == last[2]:
                last[1] = c
                continue
        runs.append([c, c, 1, delta])
    print(f"\nconst CaseRange {name}[] = {{")
    emit(f"{{0x{a:X}, 0x{b:X}, {s}, {d}}}," for a, b, s, d in runs)
    print("};")
    print(f"const size_t {name}Count = {len(runs)};")


def emit_special_case(name, pairs):
    print(f"\nconst SpecialCase {name}[] = {{")
    emit("{0x%X, {%s}}," % (c, ", ".join(f"0x{ord(x):X}" for x in to)) for c, to in pairs)
    print("};")
    print(f"const size_t {name}Count = {len(pairs)};")


def cased(c):
    return c.lower() != c or c.upper() != c or c.title() != c or c.islower() or c.isupper() \
        or unicodedata.category(c) == "Lt"


def case_ignorable(c):
    # An ignorable character between a cased letter and a final sigma does not hide the letter, but
    # alone it does not count as one.
    return ("A" + c + "\u03a3").lower()[-1] == "\u03c2" and ("." + c + "\u03a3").lower()[-1] == "\u03c3"


def main():
    print("// Made by tools/make_unicode_tables.py from Unicode " + unicodedata.unidata_version +
          "; not edited by hand. Long because it is data.")
    print('#include "model/text/jinja_unicode_tables.h"\n\nnamespace shoal::jinja {')
    print("// clang-format off")
    emit_ranges("kAlpha", str.isalpha)
    emit_ranges("kDecimal", str.isdecimal)
    emit_ranges("kDigit", str.isdigit)
    emit_ranges("kNumeric", str.isnumeric)
    emit_ranges("kPrintable", lambda c: c.isprintable())
    emit_ranges("kLower", str.islower)
    emit_ranges("kUpper", str.isupper)
    emit_ranges("kCased", cased)
    emit_ranges("kCaseIgnorable", case_ignorable)
    emit_simple_case("kToLower", str.lower)
    emit_simple_case("kToUpper", str.upper)
    emit_special_case("kToLowerSpecial", [(c, chr(c).lower()) for c in CODE_POINTS if len(chr(c).lower()) > 1])
    emit_special_case("kToUpperSpecial", [(c, chr(c).upper()) for c in CODE_POINTS if len(chr(c).upper()) > 1])
    emit_special_case("kToTitleSpecial", [(c, chr(c).title()) for c in CODE_POINTS if chr(c).title() != chr(c).upper()])
    emit_special_case("kToFoldSpecial", [(c, chr(c).casefold()) for c in CODE_POINTS if chr(c).casefold() != chr(c).lower()])
    print("// clang-format on\n}  // namespace shoal::jinja")


if __name__ == "__main__":
    sys.exit(main())
