# What `make install` puts where: programs, both libraries, headers, pkg-config, the CMake package, manual pages, completions.
include(CMakePackageConfigHelpers)

target_compile_definitions(ssvm_static INTERFACE SSVM_STATIC)
set_target_properties(ssvm_shared PROPERTIES EXPORT_NAME ssvm)
set_target_properties(ssvm_static PROPERTIES EXPORT_NAME static)
# For who builds ssvm inside his own tree by add_subdirectory: the names that the package gives.
add_library(ssvm::ssvm ALIAS ssvm_shared)
add_library(ssvm::static ALIAS ssvm_static)

set(SSVM_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/ssvm)
set(SSVM_PKGCONFIG_DIR ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(TARGETS ssvm_shared ssvm_static EXPORT ssvmTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
# Opened by name when something is compiled, linked by nobody (api/tier_compile.c looks there).
if(TARGET ssvm_aot)
  install(TARGETS ssvm_aot LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/ssvm)
endif()
get_property(plugins GLOBAL PROPERTY SV_PLUGINS)
if(plugins)
  install(TARGETS ${plugins} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/ssvm)
endif()
# Beside libssvm.so, which it finds there: clients are given its path.
install(TARGETS ssvm_evmc LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS ssvm_isolate ssvm_keeper RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/ssvm)
install(FILES include/ssvm.h include/wasm.h include/ssvm_nn.h include/ssvm_state.h include/ssvm_socket.h include/ssvm_process.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# Paths in both package files are relative to the file itself, so that a tree can be moved after it was installed.
install(EXPORT ssvmTargets NAMESPACE ssvm:: DESTINATION ${SSVM_CMAKE_DIR})
configure_package_config_file(cmake/ssvmConfig.cmake.in ${CMAKE_BINARY_DIR}/ssvmConfig.cmake
  INSTALL_DESTINATION ${SSVM_CMAKE_DIR} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/ssvmConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/ssvmConfig.cmake ${CMAKE_BINARY_DIR}/ssvmConfigVersion.cmake
  DESTINATION ${SSVM_CMAKE_DIR})
file(RELATIVE_PATH SSVM_PC_PREFIX /prefix/${SSVM_PKGCONFIG_DIR} /prefix)
configure_file(cmake/ssvm.pc.in ${CMAKE_BINARY_DIR}/ssvm.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/ssvm.pc DESTINATION ${SSVM_PKGCONFIG_DIR})

if(TARGET ssvm_cli)
  install(TARGETS ssvm_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(PROGRAMS src/cli/nn_install.py DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/ssvm RENAME ssvm-nn-install)
  # Completions are the program's own output; a cross build goes without.
  if(NOT CMAKE_CROSSCOMPILING)
    foreach(shell bash zsh fish)
      set(file ${CMAKE_BINARY_DIR}/completion/${shell})
      add_custom_command(OUTPUT ${file}
        COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/completion
        COMMAND ssvm_cli completion ${shell} > ${file}
        DEPENDS ssvm_cli VERBATIM)
      list(APPEND SSVM_COMPLETIONS ${file})
    endforeach()
    add_custom_target(ssvm_completions ALL DEPENDS ${SSVM_COMPLETIONS})
    install(FILES ${CMAKE_BINARY_DIR}/completion/bash RENAME ssvm
      DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
    install(FILES ${CMAKE_BINARY_DIR}/completion/zsh RENAME _ssvm
      DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
    install(FILES ${CMAKE_BINARY_DIR}/completion/fish RENAME ssvm.fish
      DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
  endif()
endif()
if(TARGET ssvm_serve)
  install(TARGETS ssvm_serve RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/ssvm)
  set(SSVM_SERVE ${CMAKE_INSTALL_FULL_LIBEXECDIR}/ssvm/ssvm-serve)
  configure_file(etc/ssvm.service ${CMAKE_BINARY_DIR}/ssvm.service @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/ssvm.service DESTINATION lib/systemd/system)
  install(FILES etc/ssvm-serve.yaml DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/ssvm)
endif()

if(TARGET ssvm_control)
  install(TARGETS ssvm_control RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/ssvm)
endif()
if(TARGET ssvm_client)
  install(TARGETS ssvm_client RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/ssvm)
  # What `ssvm new` copies.
  install(DIRECTORY sdk/templates/ DESTINATION ${CMAKE_INSTALL_DATADIR}/ssvm/templates PATTERN rust-ai/model EXCLUDE)
  install(FILES demo/food/model/food_mobilenet_v2_224.tflite DESTINATION ${CMAKE_INSTALL_DATADIR}/ssvm/templates/rust-ai/model RENAME food.tflite)
  install(FILES demo/food/model/food_labels.txt DESTINATION ${CMAKE_INSTALL_DATADIR}/ssvm/templates/rust-ai/model RENAME labels.txt)
  install(DIRECTORY sdk/c/ DESTINATION ${CMAKE_INSTALL_DATADIR}/ssvm/c)
  install(DIRECTORY sdk/rust/ DESTINATION ${CMAKE_INSTALL_DATADIR}/ssvm/rust PATTERN target EXCLUDE)
endif()

foreach(section 1 3 5 7)
  file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/man/*.${section})
  if(pages)
    install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
  endif()
endforeach()
