# How libssvm-aot.so comes to LLVM: sv_link_llvm(TARGET). Where LLVM's archives and lld are, LLVM is linked in: of 150 MB of libLLVM.so it needs
# a third, and in the order of cmake/llvm.order, the functions that a compile runs through lie together, which saves a thirtieth of its
# time, more on a busy machine (doc/decisions/012). Otherwise it asks for libLLVM.so, as it does with SSVM_LLVM_SHARED and in builds with sanitizers.
include(CheckCSourceCompiles)
option(SSVM_LLVM_SHARED "libssvm-aot.so asks for libLLVM.so instead of having LLVM in it" OFF)
set(SSVM_LLVM_ORDER ${CMAKE_SOURCE_DIR}/cmake/llvm.order CACHE FILEPATH "functions in the order in which libssvm-aot.so has them (tools/llvm-order)")

function(sv_llvm_says ret)
  execute_process(COMMAND ${LLVM_CONFIG} ${ARGN} OUTPUT_VARIABLE said OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE result)
  if(result)
    set(said "")
  endif()
  set(${ret} "${said}" PARENT_SCOPE)
endfunction()

# What LLVM's archives are linked with; nothing where one of them, or lld, is missing, or they want libraries that are not here.
function(sv_llvm_archives ret)
  set(components passes)
  foreach(target ${ARGN})
    list(APPEND components ${target}codegen)
  endforeach()
  sv_llvm_says(files --link-static --libfiles ${components})
  sv_llvm_says(programs --bindir)
  separate_arguments(files)
  find_program(SV_LLD NAMES ld.lld HINTS ${programs} NO_DEFAULT_PATH)
  # Their packages for developers need not be there.
  find_library(SV_ZLIB NAMES z libz.so.1)
  find_library(SV_ZSTD NAMES zstd libzstd.so.1)
  set(${ret} "" PARENT_SCOPE)
  if(NOT files OR NOT SV_LLD OR NOT SV_ZLIB OR NOT SV_ZSTD)
    return()
  endif()
  # A compiler takes the lld of that folder, of whatever name it looks for.
  set(libraries ${files} ${SV_ZLIB} ${SV_ZSTD} stdc++ m -B${programs} -fuse-ld=lld)
  set(CMAKE_REQUIRED_LIBRARIES ${libraries})
  check_c_source_compiles("
    int LLVMRunPasses(void *, const char *, void *, void *);
    void LLVMInitializeX86Target(void);
    void LLVMInitializeAArch64Target(void);
    int main(void)
    {
        LLVMInitializeX86Target();
        LLVMInitializeAArch64Target();
        return LLVMRunPasses(0, 0, 0, 0);
    }" SV_LLVM_ARCHIVES)
  if(SV_LLVM_ARCHIVES)
    set(${ret} ${libraries} PARENT_SCOPE)
  endif()
endfunction()

function(sv_link_shared_llvm target)
  sv_llvm_says(dir --libdir)
  sv_llvm_says(libs --libs)
  target_link_libraries(${target} PRIVATE -L${dir} ${libs})
endfunction()

function(sv_link_llvm target)
  set(archives "")
  if(NOT SSVM_LLVM_SHARED AND NOT SSVM_SANITIZE)
    sv_llvm_archives(archives x86 aarch64)
  endif()
  if(NOT archives)
    sv_link_shared_llvm(${target})
    return()
  endif()
  # As libLLVM.so: it is never unloaded. Nobody else sees its names.
  target_link_options(${target} PRIVATE -Wl,--gc-sections -Wl,--exclude-libs,ALL -Wl,-z,nodelete)
  if(SSVM_LLVM_ORDER)
    target_link_options(${target} PRIVATE -Wl,--symbol-ordering-file=${SSVM_LLVM_ORDER} -Wl,--no-warn-symbol-ordering)
    set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${SSVM_LLVM_ORDER})
  endif()
  target_link_libraries(${target} PRIVATE ${archives})
endfunction()
