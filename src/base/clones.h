// Functions compiled for several instruction sets.
#pragma once

// The loader takes the best that the processor has. Sanitizers start too late for that.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define KVC_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define KVC_CLONES
#endif
