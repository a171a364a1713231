// Proves what is read from the descriptions that Linux gives of batteries, thermometers and
// processors, damaged ones included; and that a disk is measured by reading a file.
#include "node/device_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "node/disk_speed.h"
#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

class DeviceStateTest : public ::testing::Test {
 protected:
  void Say(const std::string& file, const std::string& text) const {
    dir_.Write(file, text + "\n");
  }
  void Battery(const std::string& name, const std::string& percent, const std::string& status) {
    Say("sys/class/power_supply/" + name + "/type", "Battery");
    Say("sys/class/power_supply/" + name + "/capacity", percent);
    Say("sys/class/power_supply/" + name + "/status", status);
  }
  DeviceState Read() const { return ReadDeviceState(dir_.path()); }

  TempDir dir_;
};

TEST_F(DeviceStateTest, WhatIsNotThereIsUnknown) {
  EXPECT_EQ(Read().battery_percent, -1);
  EXPECT_FALSE(Read().on_battery);
  EXPECT_EQ(Read().temperature_c, -1);
  EXPECT_EQ(ReadHardwareName(dir_.path()), "");
}

TEST_F(DeviceStateTest, TheEmptiestBatteryCounts) {
  Say("sys/class/power_supply/AC/type", "Mains");
  Say("sys/class/power_supply/AC/capacity", "1");
  Battery("BAT0", "80", "Charging");
  EXPECT_EQ(Read().battery_percent, 80);
  EXPECT_FALSE(Read().on_battery);
  Battery("BAT1", "35", "Discharging");
  EXPECT_EQ(Read().battery_percent, 35);
  EXPECT_TRUE(Read().on_battery);
  Battery("BAT2", "101", "Discharging");
  Battery("BAT3", "full", "Discharging");
  Battery("hidpp_battery_0", "5", "Discharging");  // of a mouse
  Say("sys/class/power_supply/hidpp_battery_0/scope", "Device");
  EXPECT_EQ(Read().battery_percent, 35);
}

TEST_F(DeviceStateTest, TheHottestZoneCounts) {
  Say("sys/class/thermal/thermal_zone0/temp", "41500");
  Say("sys/class/thermal/thermal_zone1/temp", "63000");
  Say("sys/class/thermal/thermal_zone2/temp", "-274000");
  Say("sys/class/thermal/thermal_zone3/temp", "900000");
  Say("sys/class/thermal/cooling_device0/cur_state", "3");
  EXPECT_DOUBLE_EQ(Read().temperature_c, 63);
}

TEST_F(DeviceStateTest, ProcessorsAreNamedByOneOfTwoFiles) {
  Say("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0");
  EXPECT_EQ(ReadHardwareName(dir_.path()), "Raspberry Pi 5 Model B Rev 1.0");
  Say("proc/cpuinfo", "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu");
  EXPECT_EQ(ReadHardwareName(dir_.path()), "AMD EPYC");
}

TEST(CoreClassesTest, CoresCountOnceAndTheFastestComeFirst) {
  const std::vector<CoreClass> classes =
      CoreClasses({{0, 0, 250}, {1, 1, 250}, {2, 2, 1024}, {3, 2, 1024}});
  ASSERT_EQ(classes.size(), 2U);
  EXPECT_EQ(classes[0].capacity, 1024);
  EXPECT_EQ(classes[0].cores, 1);
  EXPECT_EQ(classes[1].cores, 2);
}

TEST_F(DeviceStateTest, DisksAreMeasuredByFiles) {
  Say("file", std::string(100'000, 'x'));
  const Result<double> file = MeasureDiskBytesPerS(dir_.path() + "/file", SteadyClock());
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_GT(*file, 0);
  const Result<double> folder = MeasureFolderBytesPerS(dir_.path(), SteadyClock());
  ASSERT_TRUE(folder.ok()) << folder.error().message;
  EXPECT_GT(*folder, 0);
  const std::filesystem::directory_iterator entries(dir_.path());
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 1) << "the file made for it is gone";
  EXPECT_FALSE(MeasureDiskBytesPerS(dir_.path() + "/none", SteadyClock()).ok());
  EXPECT_FALSE(MeasureFolderBytesPerS(dir_.path() + "/none", SteadyClock()).ok());
  EXPECT_FALSE(MeasureDiskBytesPerS(dir_.Write("empty", ""), SteadyClock()).ok());
}

}  // namespace
}  // namespace shoal
