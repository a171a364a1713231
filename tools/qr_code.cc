#include "tools/qr_code.h"

#include <qrencode.h>

#include <memory>

namespace shoal {

namespace {

constexpr int kQuietZone = 4;  // modules, by ISO/IEC 18004
constexpr const char* kBlackOnWhite = "\x1b[30;107m";
constexpr const char* kPlain = "\x1b[0m";

bool IsDark(const QRcode& code, int x, int y) {
  if (x < 0 || y < 0 || x >= code.width || y >= code.width) return false;
  return (code.data[y * code.width + x] & 1) != 0;
}

}  // namespace

std::string QrCode(const std::string& text) {
  const std::unique_ptr<QRcode, void (*)(QRcode*)> code(
      QRcode_encodeString(text.c_str(), 0, QR_ECLEVEL_L, QR_MODE_8, 1), QRcode_free);
  if (code == nullptr) return {};
  std::string lines;
  for (int y = -kQuietZone; y < code->width + kQuietZone; y += 2) {
    lines += kBlackOnWhite;
    for (int x = -kQuietZone; x < code->width + kQuietZone; ++x) {
      const bool upper = IsDark(*code, x, y);
      const bool lower = IsDark(*code, x, y + 1);
      lines += upper ? (lower ? "█" : "▀") : (lower ? "▄" : " ");
    }
    lines += kPlain;
    lines += '\n';
  }
  return lines;
}

}  // namespace shoal
