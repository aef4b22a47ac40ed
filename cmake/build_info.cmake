execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12
                OUTPUT_VARIABLE KVCOMM_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT KVCOMM_COMMIT)
  set(KVCOMM_COMMIT "unknown")
endif()
configure_file(${IN} ${OUT} @ONLY)
