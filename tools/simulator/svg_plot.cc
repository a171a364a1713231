#include "tools/simulator/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace shoal {

namespace {

constexpr double kWidth = 860;
constexpr double kTop = 34;
constexpr double kLeft = 78;    // of a plot with a numeric y axis
constexpr double kRight = 210;  // for the legend
constexpr double kPlotHeight = 260;
constexpr double kBottom = 44;

std::string Open(double height, const std::string& title) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} "
      "{1}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{0}\" height=\"{1}\" "
      "fill=\"#ffffff\"/>\n<text x=\"10\" y=\"20\" font-size=\"14\">{2}</text>\n",
      kWidth, height, EscapeMarkup(title));
}

std::string Text(double x, double y, const char* anchor, const std::string& text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     EscapeMarkup(text));
}

std::string Line(double x1, double y1, double x2, double y2, const char* colour) {
  return fmt::format(
      "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\"/>\n", x1, y1, x2,
      y2, colour);
}

std::string Rect(double x, double y, double width, double height, std::string_view colour) {
  return fmt::format(
      "<rect x=\"{:.2f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{:.1f}\" fill=\"{}\"/>\n", x, y,
      width, height, colour);
}

// Values to pixels; never divides by nothing.
class Scale {
 public:
  Scale(bool logarithmic, double low_pixel, double high_pixel)
      : logarithmic_(logarithmic), low_pixel_(low_pixel), high_pixel_(high_pixel) {}

  bool Shows(double value) const { return std::isfinite(value) && (!logarithmic_ || value > 0); }
  void Include(double value) {
    if (!Shows(value)) return;
    low_ = std::min(low_, value);
    high_ = std::max(high_, value);
  }
  bool empty() const { return low_ > high_; }
  double Pixel(double value) const {
    const double span = Mapped(high_) - Mapped(low_);
    const double share = span > 0 ? (Mapped(value) - Mapped(low_)) / span : 0.5;
    return low_pixel_ + share * (high_pixel_ - low_pixel_);
  }
  std::vector<double> Ticks() const { return logarithmic_ ? LogTicks() : LinearTicks(); }

 private:
  double Mapped(double value) const { return logarithmic_ ? std::log10(value) : value; }

  // At steps of 1, 2 or 5 times a power of ten, at most kMost of them.
  std::vector<double> LinearTicks() const {
    constexpr double kMost = 7;
    if (high_ <= low_) return {low_};
    const double power = std::pow(10, std::floor(std::log10((high_ - low_) / kMost)));
    double step = power;
    for (const double digit : {2, 5, 10}) {
      if ((high_ - low_) / step > kMost) step = digit * power;
    }
    std::vector<double> ticks;
    for (double i = std::ceil(low_ / step); i * step <= high_ && ticks.size() < 2 * kMost; ++i) {
      ticks.push_back(i * step);
    }
    return ticks;
  }

  // 1, 2 and 5 of each power of ten where there are few powers.
  std::vector<double> LogTicks() const {
    constexpr double kFewPowers = 3;
    const bool few = std::log10(high_ / low_) < kFewPowers;
    std::vector<double> ticks;
    for (double power = std::floor(std::log10(low_)); power <= std::log10(high_); ++power) {
      for (const double digit : {1, 2, 5}) {
        const double tick = digit * std::pow(10, power);
        if ((few || digit == 1) && tick >= low_ && tick <= high_) ticks.push_back(tick);
      }
    }
    return ticks;
  }

  bool logarithmic_;
  double low_pixel_;
  double high_pixel_;
  double low_ = std::numeric_limits<double>::max();
  double high_ = std::numeric_limits<double>::lowest();
};

std::string XAxis(const Scale& scale, const std::string& label, double left, double right,
                  double top, double bottom) {
  std::string svg = Line(left, bottom, right, bottom, "#888888");
  for (const double tick : scale.Ticks()) {
    const double x = scale.Pixel(tick);
    svg += Line(x, top, x, bottom, "#eeeeee") +
           Text(x, bottom + 15, "middle", fmt::format("{:g}", tick));
  }
  return svg + Text((left + right) / 2, bottom + 33, "middle", label);
}

std::string YAxis(const Scale& scale, const std::string& label, double left, double right,
                  double top, double bottom) {
  std::string svg = Line(left, top, left, bottom, "#888888");
  for (const double tick : scale.Ticks()) {
    const double y = scale.Pixel(tick);
    svg += Line(left, y, right, y, "#eeeeee") +
           Text(left - 5, y + 4, "end", fmt::format("{:g}", tick));
  }
  return svg + Text(left - 60, top - 4, "start", label);
}

std::string Points(const PlotSeries& series, const Scale& x, const Scale& y) {
  std::string points;
  for (const auto& [at, value] : series.points) {
    if (!x.Shows(at) || !y.Shows(value)) continue;
    points += fmt::format("{:.1f},{:.1f} ", x.Pixel(at), y.Pixel(value));
  }
  return points;
}

}  // namespace

std::string LinePlot(const std::string& title, const PlotAxis& x_axis, const PlotAxis& y_axis,
                     const std::vector<PlotSeries>& series) {
  const double right = kWidth - kRight;
  const double bottom = kTop + kPlotHeight;
  Scale x(x_axis.logarithmic, kLeft, right);
  Scale y(y_axis.logarithmic, bottom, kTop + 10);
  if (!y_axis.logarithmic) y.Include(0);
  for (const PlotSeries& one : series) {
    for (const auto& [at, value] : one.points) {
      if (!x.Shows(at) || !y.Shows(value)) continue;
      x.Include(at);
      y.Include(value);
    }
  }
  const double height =
      std::max(bottom + kBottom, kTop + 18.0 * static_cast<double>(series.size()));
  std::string svg = Open(height, title);
  if (x.empty()) return svg + Text(kLeft, kTop + 30, "start", "no values") + "</svg>\n";
  svg += XAxis(x, x_axis.label, kLeft, right, kTop + 10, bottom);
  svg += YAxis(y, y_axis.label, kLeft, right, kTop + 10, bottom);
  for (size_t i = 0; i < series.size(); ++i) {
    svg +=
        fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\"/>\n",
                    Points(series[i], x, y), PlotColour(i));
    const double row = kTop + 18.0 * static_cast<double>(i);
    svg += Rect(right + 14, row, 12, 12, PlotColour(i)) +
           Text(right + 31, row + 11, "start", series[i].name);
  }
  return svg + "</svg>\n";
}

std::string BarPlot(const std::string& title, const std::vector<PlotBar>& bars) {
  constexpr double kRow = 24;
  constexpr double kNames = 210;
  constexpr double kBars = 420;
  double most = 0;
  for (const PlotBar& bar : bars) {
    if (std::isfinite(bar.value)) most = std::max(most, bar.value);
  }
  std::string svg = Open(kTop + kRow * static_cast<double>(bars.size()) + 10, title);
  double y = kTop;
  for (const PlotBar& bar : bars) {
    const double share = most > 0 && std::isfinite(bar.value) ? bar.value / most : 0;
    svg += Text(kNames - 8, y + 14, "end", bar.name) +
           Rect(kNames, y + 3, kBars * share, 15, PlotColour(0)) +
           Text(kNames + kBars * share + 6, y + 15, "start", bar.text);
    y += kRow;
  }
  return svg + "</svg>\n";
}

std::string LanesPlot(const std::string& title, const std::string& x_label,
                      const std::vector<std::string>& lanes, const std::vector<PlotSpan>& spans) {
  constexpr double kRow = 20;
  constexpr double kNames = 210;
  constexpr double kLeastWidth = 0.3;  // pixels, to be seen
  const double right = kWidth - 20;
  const double bottom = kTop + kRow * static_cast<double>(lanes.size());
  Scale x(false, kNames, right);
  for (const PlotSpan& span : spans) {
    x.Include(span.begin);
    x.Include(span.end);
  }
  std::string svg = Open(bottom + kBottom, title);
  if (x.empty()) return svg + Text(kNames, kTop + 30, "start", "no values") + "</svg>\n";
  svg += XAxis(x, x_label, kNames, right, kTop, bottom);
  for (size_t i = 0; i < lanes.size(); ++i) {
    svg += Text(kNames - 8, kTop + kRow * static_cast<double>(i) + 14, "end", lanes[i]);
  }
  for (const PlotSpan& span : spans) {
    const double begin = x.Pixel(span.begin);
    const double width = std::max(kLeastWidth, x.Pixel(span.end) - begin);
    svg += Rect(begin, kTop + kRow * static_cast<double>(span.lane) + 3, width, kRow - 6,
                PlotColour(static_cast<size_t>(span.colour)));
  }
  return svg + "</svg>\n";
}

std::string_view PlotColour(size_t index) {
  constexpr std::array<std::string_view, 10> kColours = {"#4c78a8", "#f58518", "#54a24b", "#e45756",
                                                         "#72b7b2", "#b279a2", "#eeca3b", "#9d755d",
                                                         "#ff9da6", "#79706e"};
  return kColours[index % kColours.size()];
}

std::string EscapeMarkup(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&': escaped += "&amp;"; break;
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      case '"': escaped += "&quot;"; break;
      case '\'': escaped += "&#39;"; break;
      default: escaped += c;
    }
  }
  return escaped;
}

}  // namespace shoal
