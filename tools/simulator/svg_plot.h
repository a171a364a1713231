// Plots as SVG text that can stand inside an HTML page: no scripts, fonts or files from elsewhere.
// Pure functions; what is not finite is left out.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace shoal {

struct PlotAxis {
  std::string label;
  bool logarithmic = false;  // values that are not above 0 are left out
};

struct PlotSeries {
  std::string name;
  std::vector<std::pair<double, double>> points;
};

// Lines through points in the order given, with a legend.
std::string LinePlot(const std::string& title, const PlotAxis& x, const PlotAxis& y,
                     const std::vector<PlotSeries>& series);

struct PlotBar {
  std::string name;
  double value = 0;
  std::string text;  // after the bar
};
std::string BarPlot(const std::string& title, const std::vector<PlotBar>& bars);

struct PlotSpan {
  size_t lane = 0;
  double begin = 0;
  double end = 0;
  int colour = 0;  // index into PlotColour
};
// Lanes over time, from the first begin to the last end.
std::string LanesPlot(const std::string& title, const std::string& x_label,
                      const std::vector<std::string>& lanes, const std::vector<PlotSpan>& spans);

std::string_view PlotColour(size_t index);  // repeats
std::string EscapeMarkup(std::string_view text);

}  // namespace shoal
