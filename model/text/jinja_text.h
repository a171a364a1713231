// Searching, splitting and replacing in strings as Python's str does. All of it takes time linear
// in the text, whatever the pattern, and counts it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/text/jinja_heap.h"
#include "model/text/jinja_value.h"

namespace shoal::jinja {

// Byte offset of the first or last occurrence; npos where there is none.
size_t FindFirst(std::string_view text, std::string_view wanted, size_t from = 0);
size_t FindLast(std::string_view text, std::string_view wanted);
// Occurrences that do not overlap; of the empty text, one more than code points.
size_t CountText(std::string_view text, std::string_view wanted);

enum class Side { kLeft, kRight, kBoth };
// Without what `chars` lists at the given ends; without `chars`, without white space.
std::string_view StripText(std::string_view text, std::optional<std::string_view> chars, Side side);

// At most `limit` cuts, from the left or from the right; any number if negative. Without a
// separator, at runs of white space. REQUIRES a separator that is not empty.
std::vector<std::string_view> SplitText(std::string_view text,
                                        std::optional<std::string_view> separator, Int limit);
std::vector<std::string_view> SplitTextFromRight(std::string_view text,
                                                 std::optional<std::string_view> separator,
                                                 Int limit);
std::vector<std::string_view> SplitLines(std::string_view text, bool keep_ends);

// At most `limit` replacements; any number if negative.
Result<std::string> ReplaceText(Heap& heap, std::string_view text, std::string_view from,
                                std::string_view to, Int limit);

// Counts the bytes of a text that is about to be added to `out`, and adds it.
Status AppendBounded(Heap& heap, std::string_view text, std::string& out);

// A list of strings, which are Markup or not.
Result<Value> ListOfTexts(Heap& heap, const std::vector<std::string_view>& texts, bool markup);

}  // namespace shoal::jinja
