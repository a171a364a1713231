# Cross build for AArch64 on Debian 12: its cross compiler, the arm64 packages beside the native ones
# (multi-arch), and QEMU's user mode to run the tests. `tools/install_deps.sh aarch64` installs them.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++-12)
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig)
# The cpu `max` has every instruction set extension that QEMU emulates.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64;-cpu;max)
