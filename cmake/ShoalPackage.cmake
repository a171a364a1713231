# What `cmake --install` adds to the command, and the Debian package: `cpack -G DEB` in the build folder.
install(FILES deploy/systemd/shoal-node.service deploy/systemd/shoal-serve.service
  DESTINATION lib/systemd/system)
install(DIRECTORY deploy/clusters DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/shoal/examples)
install(FILES README.md docs/deploy.md LICENSE DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/shoal)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME shoal)
set(CPACK_PACKAGE_CONTACT "Shoal <shoal@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "one large language model across the devices you have")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
# Libraries and their least versions are read from the program; postinst makes a user.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS adduser)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  ${PROJECT_SOURCE_DIR}/deploy/debian/postinst
  ${PROJECT_SOURCE_DIR}/deploy/debian/prerm
  ${PROJECT_SOURCE_DIR}/deploy/debian/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
# The package needs the command only, not the tests.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)
include(CPack)
