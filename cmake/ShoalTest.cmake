# shoal_add_test(NAME x_test SOURCES x_test.cc DEPS shoal_x LABELS unit [TIMEOUT seconds])
#
# A GoogleTest program as one CTest entry. Labels: unit, cluster, fuzz, slow; `grpc` is added to
# those that link the uninstrumented gRPC library and so stay out of thread sanitizer runs. The timeout
# only ends what hangs: a shared machine may be ten times as slow as a quiet one.
function(shoal_add_test)
  cmake_parse_arguments(ARG "" "NAME;TIMEOUT" "SOURCES;DEPS;LABELS;ARGS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  if(CMAKE_CROSSCOMPILING)  # tests run in an emulator
    math(EXPR ARG_TIMEOUT "2 * ${ARG_TIMEOUT}")
  endif()
  if(SHOAL_SANITIZE)  # several times as slow
    math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * 3")
  endif()
  add_executable(${ARG_NAME} ${ARG_SOURCES})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_precompile_headers(${ARG_NAME} REUSE_FROM shoal_test_headers)
  target_compile_definitions(${ARG_NAME} PRIVATE
    SHOAL_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data")
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME} ${ARG_ARGS})
  set_tests_properties(${ARG_NAME} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
endfunction()

# shoal_add_fuzz_target(NAME x_fuzz SOURCES x_fuzz.cc DEPS shoal_x CORPUS dir)
#
# SOURCES define LLVMFuzzerTestOneInput. With SHOAL_FUZZ (clang++) this is a libFuzzer program;
# without, a CTest entry labelled fuzz that replays the corpus and seeded mutations of it.
function(shoal_add_fuzz_target)
  cmake_parse_arguments(ARG "" "NAME;CORPUS" "SOURCES;DEPS" ${ARGN})
  if(SHOAL_FUZZ)
    add_executable(${ARG_NAME} ${ARG_SOURCES})
    target_link_options(${ARG_NAME} PRIVATE -fsanitize=fuzzer)
    target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS})
  else()
    add_executable(${ARG_NAME} ${ARG_SOURCES} ${PROJECT_SOURCE_DIR}/tests/fuzz/replay_main.cc)
    target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS})
    add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME} ${ARG_CORPUS})
    set_tests_properties(${ARG_NAME} PROPERTIES LABELS fuzz TIMEOUT 900)
  endif()
endfunction()
