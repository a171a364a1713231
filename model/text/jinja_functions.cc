#include "model/text/jinja_functions.h"

#include <algorithm>
#include <ctime>

#include "model/text/jinja_arguments.h"
#include "model/text/jinja_eval.h"
#include "model/text/jinja_ops.h"
#include "model/text/jinja_repr.h"

namespace shoal::jinja {
namespace {

Result<Value> Range(Renderer& renderer, const Value&, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, BindPositional("range", arguments, 1, 3));
  Int bounds[3] = {0, 0, 1};
  for (size_t i = 0; i < 3; ++i) {
    ASSIGN_OR_RETURN(bounds[i], IntArgument("range", given[i], bounds[i]));
    // Beyond any range that is allowed, and far from where the arithmetic of ranges overflows.
    constexpr Int kFar = Int{1} << 100;
    if (bounds[i] < -kFar || bounds[i] > kFar) return Fail("range() of too large a number");
  }
  if (given[1].missing()) std::swap(bounds[0], bounds[1]);
  if (bounds[2] == 0) return Fail("range() arg 3 must not be zero");
  ASSIGN_OR_RETURN(Value range, renderer.heap().Make<RangeObject>(bounds[0], bounds[1], bounds[2]));
  if (range.as<RangeObject>().size() > TemplateLimits::kMaxRange) {
    return Fail("Range too big. The sandbox blocks ranges larger than " +
                std::to_string(TemplateLimits::kMaxRange) + ".");
  }
  return range;
}

// Python's dict(): of a mapping or of pairs, and of keyword arguments.
Result<Value> Dict(Renderer& renderer, const Value&, CallArguments& arguments) {
  Heap& heap = renderer.heap();
  if (arguments.positional.size() > 1) return Fail("dict expected at most 1 argument");
  ASSIGN_OR_RETURN(Value dict, heap.EmptyDict());
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.is(Type::kDict)) {
      for (const auto& [key, value] : source.as<DictObject>().entries) {
        RETURN_IF_ERROR(heap.SetItem(dict, key, value));
      }
    } else {
      ASSIGN_OR_RETURN(const auto next, Iterate(heap, source));
      while (true) {
        ASSIGN_OR_RETURN(const Value pair, next());
        if (pair.missing()) break;
        ASSIGN_OR_RETURN(std::vector<Value> parts, ToVector(heap, pair));
        if (parts.size() != 2) return Fail("dictionary update sequence element is not a pair");
        RETURN_IF_ERROR(heap.SetItem(dict, std::move(parts[0]), std::move(parts[1])));
      }
    }
  }
  for (auto& [name, value] : arguments.named) {
    ASSIGN_OR_RETURN(Value key, heap.String(name));
    RETURN_IF_ERROR(heap.SetItem(dict, std::move(key), std::move(value)));
  }
  return dict;
}

Result<Value> Namespace(Renderer& renderer, const Value& self, CallArguments& arguments) {
  ASSIGN_OR_RETURN(Value attributes, Dict(renderer, self, arguments));
  return renderer.heap().Make<NamespaceObject>(std::move(attributes));
}

Result<Value> Cycler(Renderer& renderer, const Value&, CallArguments& arguments) {
  if (arguments.positional.empty() || !arguments.named.empty()) {
    return Fail("at least one item has to be provided");
  }
  return renderer.heap().Make<CyclerObject>(std::move(arguments.positional));
}

Result<Value> Joiner(Renderer& renderer, const Value&, CallArguments& arguments) {
  ASSIGN_OR_RETURN(auto given, Bind("joiner", arguments, {"sep"}));
  if (given[0].missing()) {
    ASSIGN_OR_RETURN(given[0], renderer.heap().String(", "));
  }
  return renderer.heap().Make<JoinerObject>(std::move(given[0]));
}

Result<Value> RaiseException(Renderer& renderer, const Value&, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, Bind("raise_exception", arguments, {"message"}, 1));
  ASSIGN_OR_RETURN(std::string message, ToText(renderer.heap(), given[0]));
  return InvalidArgument(std::move(message));
}

std::tm MidnightOf(CivilDate date) {
  std::tm time{};
  time.tm_year = date.year - 1900;
  time.tm_mon = date.month - 1;
  time.tm_mday = date.day;
  // Day of the week and of the year, by counting days in the proleptic Gregorian calendar.
  const auto days_before = [](int year, int month, int day) {
    static constexpr int kBefore[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    const int y = year - 1;
    return y * 365 + y / 4 - y / 100 + y / 400 + kBefore[month - 1] + (leap && month > 2 ? 1 : 0) +
           day;
  };
  const int day = days_before(date.year, date.month, date.day);
  time.tm_yday = day - days_before(date.year, 1, 1);
  time.tm_wday = day % 7;
  return time;
}

Result<Value> StrftimeNow(Renderer& renderer, const Value&, CallArguments& arguments) {
  ASSIGN_OR_RETURN(const auto given, Bind("strftime_now", arguments, {"format"}, 1));
  ASSIGN_OR_RETURN(const std::string format, TextArgument("strftime_now", given[0], ""));
  constexpr size_t kMaxFormatBytes = 1024;
  if (format.size() > kMaxFormatBytes) {
    return Fail("strftime_now() of a format of more than " + std::to_string(kMaxFormatBytes) +
                " bytes");
  }
  const std::tm time = MidnightOf(renderer.today());
  std::string text;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 >= format.size()) {
      text += format[i];
      continue;
    }
    static constexpr std::string_view kFlags = "-_0^#";  // how to pad, and the case
    const bool padding =
        kFlags.find(format[i + 1]) != std::string_view::npos && i + 2 < format.size();
    const std::string directive = "%" + format.substr(i + 1, padding ? 2 : 1);
    i += directive.size() - 1;
    if (directive == "%f") {
      text += "000000";
    } else if (directive != "%z" && directive != "%Z") {  // the time has no zone
      char buffer[128];
      text.append(buffer, std::strftime(buffer, sizeof(buffer), directive.c_str(), &time));
    }
  }
  return renderer.heap().String(std::move(text));
}

constexpr Function kGlobals[] = {
    {"range", Range},
    {"dict", Dict},
    {"namespace", Namespace},
    {"cycler", Cycler},
    {"joiner", Joiner},
    {"raise_exception", RaiseException},
    {"strftime_now", StrftimeNow},
};

}  // namespace

const Function* FindGlobal(std::string_view name) {
  const auto* at = std::find_if(std::begin(kGlobals), std::end(kGlobals),
                                [name](const Function& f) { return f.name == name; });
  return at == std::end(kGlobals) ? nullptr : at;
}

}  // namespace shoal::jinja
