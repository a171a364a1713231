# Compiler settings that every target of Shoal shares, as the interface target shoal_options.
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
include(GNUInstallDirs)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

add_library(shoal_options INTERFACE)
target_compile_features(shoal_options INTERFACE cxx_std_20)
target_include_directories(shoal_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(shoal_options INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough -Werror
  # The scalar reference defines the bits: multiply and add are fused only where the code says fma.
  -ffp-contract=off)

# Under sanitizers, what uses gRPC is not optimized, and not checked for what asan finds as well: its
# templates would take two and a half times as long to compile. For the directory that calls this and
# those below it.
macro(shoal_sanitize_quickly)
  if(SHOAL_SANITIZE AND SHOAL_WITH_GRPC)
    add_compile_options(-O0 -fno-sanitize=vptr,null,alignment,object-size)
  endif()
endmacro()

# What is nowhere near the arithmetic, and mostly other people's templates, is compiled for less time:
# for the directory that calls this and those below it. (g++ 12 then takes some concatenations of
# strings for writes out of bounds.)
macro(shoal_compile_quickly)
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    add_compile_options(-O1 -Wno-array-bounds)
  endif()
  shoal_sanitize_quickly()
endmacro()

if(SHOAL_SANITIZE)  # of directories, so that shoal_sanitize_quickly comes later and wins
  add_compile_options(-fsanitize=${SHOAL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SHOAL_SANITIZE})
  if(SHOAL_SANITIZE STREQUAL "thread")
    add_compile_options(-Wno-tsan)  # of Asio's fences, which it does not see; all else there is locked
  endif()
endif()

# Several files of a target are compiled as one, which takes less than half the processor time: what
# they include is read once. Debug builds and those for other processors show that each file compiles
# alone, too, and warn of what only one's own names can shadow.
if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug" AND NOT CMAKE_CROSSCOMPILING AND NOT SHOAL_FUZZ)
  if(NOT DEFINED CMAKE_UNITY_BUILD)
    set(CMAKE_UNITY_BUILD ON)
  endif()
  set(CMAKE_UNITY_BUILD_BATCH_SIZE 10)
  target_compile_options(shoal_options INTERFACE
    -Wno-shadow -Wno-subobject-linkage
    -Wno-stringop-overflow)  # g++ 12 takes some copies of vectors for one of them
endif()
