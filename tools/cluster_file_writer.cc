#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "tools/cluster_file.h"
#include "tools/device_library.h"
#include "tools/units.h"

namespace shoal {

namespace {

std::string Number(double value) { return fmt::format("{:.12g}", value); }

// The character that begins at `at` in UTF-8, which moves behind it; '?' for what is not UTF-8.
char32_t NextCharacter(const std::string& text, size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at++]);
  if (lead < 0x80) return lead;
  const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
  char32_t character = lead & (0x3f >> more);
  for (int i = 0; i < more; ++i) {
    const bool continues =
        at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80;
    if (!continues) return U'?';
    character = character << 6 | (static_cast<unsigned char>(text[at++]) & 0x3f);
  }
  const bool surrogate = character >= 0xd800 && character < 0xe000;
  return more == 0 || surrogate || character > 0x10ffff ? U'?' : character;
}

// TOML's basic string, in ASCII. Names that were read have no control characters; others become
// spaces.
std::string TomlQuoted(const std::string& text) {
  std::string quoted = "\"";
  for (size_t at = 0; at < text.size();) {
    const char32_t character = NextCharacter(text, at);
    if (character == U'"' || character == U'\\') quoted += '\\';
    if (character >= 0x80) {
      quoted += fmt::format("\\U{:08x}", static_cast<uint32_t>(character));
    } else {
      quoted += character < 0x20 || character == 0x7f ? ' ' : static_cast<char>(character);
    }
  }
  return quoted + "\"";
}

void AddNumber(const char* key, double value, double unit, std::string& out) {
  if (value != 0) out += fmt::format("{} = {}\n", key, Number(value / unit));
}

std::string Joined(const std::vector<std::string>& parts) {
  return fmt::format("[{}]", fmt::join(parts, ", "));
}

std::string SpeedText(const TypeSpeed& speed) {
  std::vector<std::string> tokens;
  std::vector<std::string> rates;
  for (const BatchSpeed& batch : speed.batches) {
    tokens.push_back(std::to_string(batch.tokens));
    rates.push_back(Number(batch.bytes_per_s / kGiga));
  }
  return fmt::format("  {{ type = {}, tokens = {}, gb_per_s = {} }},\n", TomlQuoted(speed.type),
                     Joined(tokens), Joined(rates));
}

std::string DeviceText(const DeviceProfile& device) {
  std::string out = fmt::format("\n[[device]]\nname = {}\n", TomlQuoted(device.name));
  if (!device.hardware.empty()) out += fmt::format("hardware = {}\n", TomlQuoted(device.hardware));
  if (!device.source.empty()) out += fmt::format("source = {}\n", TomlQuoted(device.source));
  out += fmt::format("memory_gib = {}\n", static_cast<double>(device.memory_bytes) / kGib);
  if (!device.speeds.empty()) {
    out += "speed = [\n";
    for (const TypeSpeed& speed : device.speeds) out += SpeedText(speed);
    out += "]\n";
  }
  AddNumber("attention_decode_gmacs_per_s", device.attention_decode_macs_per_s, kGiga, out);
  AddNumber("attention_prefill_gmacs_per_s", device.attention_prefill_macs_per_s, kGiga, out);
  AddNumber("elementwise_gvalues_per_s", device.elementwise_values_per_s, kGiga, out);
  AddNumber("matrix_us", device.matrix_s, kUs, out);
  AddNumber("layer_us", device.layer_s, kUs, out);
  AddNumber("step_us", device.step_s, kUs, out);
  AddNumber("busy_watts", device.busy_watts, 1, out);
  AddNumber("idle_watts", device.idle_watts, 1, out);
  if (!device.given_layer_s.empty()) {
    std::vector<std::string> layers;
    for (const double seconds : device.given_layer_s) layers.push_back(Number(seconds / kMs));
    out += fmt::format("layer_ms = {}\n", Joined(layers));
  }
  return out;
}

std::string LinkText(const LinkProfile& link) {
  if (!link.usable) return "usable = false\n";
  std::string out = "usable = true\n";
  out += fmt::format("latency_ms = {}\n", Number(link.latency_s / kMs));
  out += fmt::format("latency_p95_ms = {}\n", Number(link.latency_p95_s / kMs));
  return out + fmt::format("mbit_per_s = {}\n", Number(link.bytes_per_s / kBytesPerMbit));
}

std::string EndpointName(const Cluster& cluster, int32_t endpoint) {
  if (endpoint == cluster.coordinator()) return std::string(kCoordinatorName);
  return cluster.devices[static_cast<size_t>(endpoint)].name;
}

// The usable link that stands most often, so that most need not be written.
LinkProfile MostFrequent(const Cluster& cluster) {
  std::map<std::tuple<double, double, double>, int> counts;
  for (int32_t from = 0; from < cluster.endpoint_count(); ++from) {
    for (int32_t to = 0; to < cluster.endpoint_count(); ++to) {
      const LinkProfile& link = cluster.link(from, to);
      if (from == to || !link.usable) continue;
      ++counts[{link.latency_s, link.latency_p95_s, link.bytes_per_s}];
    }
  }
  const auto most =
      std::max_element(counts.begin(), counts.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  LinkProfile link{.bytes_per_s = kGiga};
  if (most != counts.end()) {
    std::tie(link.latency_s, link.latency_p95_s, link.bytes_per_s) = most->first;
  }
  return link;
}

// Links that differ from `usual`, both directions together where they are alike.
std::string LinksText(const Cluster& cluster, const LinkProfile& usual) {
  std::string out;
  for (int32_t a = 0; a < cluster.endpoint_count(); ++a) {
    for (int32_t b = a + 1; b < cluster.endpoint_count(); ++b) {
      const LinkProfile& there = cluster.link(a, b);
      const LinkProfile& back = cluster.link(b, a);
      const std::string name_a = TomlQuoted(EndpointName(cluster, a));
      const std::string name_b = TomlQuoted(EndpointName(cluster, b));
      if (there == back || (!there.usable && !back.usable)) {
        if (there == usual) continue;
        out += fmt::format("\n[[link]]\nbetween = [{}, {}]\n{}", name_a, name_b, LinkText(there));
        continue;
      }
      out += fmt::format("\n[[link]]\nfrom = {}\nto = {}\n{}", name_a, name_b, LinkText(there));
      out += fmt::format("\n[[link]]\nfrom = {}\nto = {}\n{}", name_b, name_a, LinkText(back));
    }
  }
  return out;
}

}  // namespace

std::string WriteCluster(const Cluster& cluster, const std::string& title) {
  std::string out;
  if (!title.empty()) out += fmt::format("title = {}\n", TomlQuoted(title));
  const LinkProfile usual = MostFrequent(cluster);
  out += fmt::format(
      "network = \"usual\"\n\n[networks.usual]\nlatency_ms = {}\nlatency_p95_ms = {}\n"
      "mbit_per_s = {}\n",
      Number(usual.latency_s / kMs), Number(usual.latency_p95_s / kMs),
      Number(usual.bytes_per_s / kBytesPerMbit));
  for (const DeviceProfile& device : cluster.devices) out += DeviceText(device);
  return out + LinksText(cluster, usual);
}

}  // namespace shoal
